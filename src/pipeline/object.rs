//! A mapping of the file whose keys are taken out one by one, so that it is known which were not.

use serde_json::{Map, Value};

use crate::api::v1alpha1::Toggle;

use super::Notes;

/// A mapping, and where it stands: `source.kafka.`, with a dot behind it unless it is the whole file.
pub struct Object {
    path: String,
    map: Map<String, Value>,
}

impl Object {
    /// The mapping at `path`.
    pub fn new(path: impl Into<String>, map: Map<String, Value>) -> Self {
        Self { path: path.into(), map }
    }

    /// The field's full name.
    pub fn field(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// The value; none where it is missing or null.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Whether it is a mapping.
    pub fn is_object(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(Value::is_object)
    }

    /// A mapping below; one that is something else is a problem.
    pub fn object(&mut self, key: &str, notes: &mut Notes) -> Option<Self> {
        let field = self.field(key);
        let value = self.take(key)?;
        if let Value::Object(map) = value {
            return Some(Self::new(format!("{field}."), map));
        }
        notes.problem(&field, "must be a mapping");
        None
    }

    /// A text; numbers and booleans are texts here, as the client's properties are.
    pub fn text(&mut self, key: &str, notes: &mut Notes) -> Option<String> {
        let field = self.field(key);
        match self.take(key)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => {
                notes.problem(&field, "must be a text");
                None
            }
        }
    }

    /// A switch.
    pub fn toggle(&mut self, key: &str, notes: &mut Notes) -> Option<Toggle> {
        let text = self.text(key, notes)?;
        match text.as_str() {
            "enabled" | "true" => Some(Toggle::Enabled),
            "disabled" | "false" => Some(Toggle::Disabled),
            _ => {
                notes.problem(&self.field(key), "must be enabled or disabled");
                None
            }
        }
    }

    /// What was not taken has no bearing, or none that is known.
    pub fn rest(self, notes: &mut Notes) {
        notes.unused.extend(self.map.keys().map(|key| format!("{}{key}", self.path)));
    }
}
