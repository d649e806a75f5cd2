//! A proxy on loopback that holds everything back for a while, in both directions.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::logs::address;

/// Runs until it is dropped.
pub struct Proxy {
    stopped: Arc<AtomicBool>,
    at: String,
}

/// Where the broker tells clients of its listener `PROXIED` to go.
pub fn start(delay_ms: u64) -> Proxy {
    let (at, broker) = (address("TARGET_PROXY"), address("TARGET_PROXIED"));
    let listener = TcpListener::bind(&at).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let delay = Duration::from_millis(delay_ms);
    thread::spawn(move || {
        for client in listener.incoming() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let (client, server) = (client.unwrap(), TcpStream::connect(&broker).unwrap());
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), delay);
            pass(server, client, delay);
        }
    });
    Proxy { stopped, at }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then goes.
        let _ = TcpStream::connect(&self.at);
        thread::sleep(Duration::from_millis(100));
    }
}

/// One direction: a thread reads, another writes what was read so long ago.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    to.set_nodelay(true).unwrap();
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1_024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
