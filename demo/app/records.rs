//! What the demo's files hold: one JSON object a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Outcome;

/// A record that was sent, written down once its transaction has ended.
#[derive(Serialize, Deserialize)]
pub struct Sent {
    pub partition: i32,
    pub id: String,
    /// False: its transaction was aborted, nobody must ever read it.
    pub committed: bool,
}

/// A record that the application was given.
#[derive(Serialize, Deserialize)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub id: String,
    /// The source offset, where the record is a copy.
    pub origin: Option<i64>,
}

/// The group's place on a partition.
#[derive(Serialize, Deserialize)]
pub struct Committed {
    pub partition: i32,
    pub offset: i64,
}

/// All lines of a file; none where there is no file yet.
pub fn load<T: DeserializeOwned>(path: &Path) -> Outcome<Vec<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Appends lines to a file.
pub struct Journal(BufWriter<File>);

impl Journal {
    pub fn append(path: &Path) -> Outcome<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(BufWriter::new(file.map_err(|error| format!("{}: {error}", path.display()))?)))
    }

    pub fn write(&mut self, line: &impl Serialize) -> Outcome<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")?;
        Ok(())
    }

    pub fn flush(&mut self) -> Outcome<()> {
        Ok(self.0.flush()?)
    }
}
