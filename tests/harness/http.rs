//! What the operator serves, asked for in plain HTTP.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    openmetrics::{self, Samples},
    operator,
    stack::{DEADLINE, var},
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Asks the operator for `path`; none where nobody answers.
pub fn get(path: &str) -> Option<Answer> {
    let url = var("OPERATOR_URL");
    get_from(url.strip_prefix("http://").unwrap().trim_end_matches('/'), path)
}

/// Asks whoever listens at this address.
pub fn get_from(address: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Waits until `path` answers like this.
pub fn comes_to(path: &str, status: u16, words: &str) {
    let start = Instant::now();
    loop {
        let answer = get(path);
        if answer.as_ref().is_some_and(|a| a.status == status && a.body.contains(words)) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{path} says {answer:?}\n{}", operator::log_tail(20));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All metrics now.
pub fn metrics() -> Samples {
    let answer = get("/metrics").expect("the operator answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(content_type), "{}", answer.head);
    openmetrics::parse(&answer.body)
}
