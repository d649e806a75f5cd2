//! A TCP proxy on loopback for faults between the operator and a server: connections are cut, swallowed or slowed.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, sleep},
    time::Duration,
};

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    /// Nothing is passed on, and nobody is told.
    swallowing: AtomicBool,
    /// New connections are closed at once.
    refusing: AtomicBool,
    /// Nothing is passed on for the first so many connections.
    abandoned: AtomicUsize,
    delay_ms: AtomicU64,
    accepted: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// Runs until it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// In front of `server`, at any free port or at `at`.
    pub fn new(at: &str, server: &str) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let (state, server) = (Arc::new(State::default()), server.to_owned());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stopped.load(SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let number = shared.accepted.fetch_add(1, SeqCst) + 1;
                if shared.refusing.load(SeqCst) {
                    continue;
                }
                shared.open.lock().unwrap().push(client.try_clone().unwrap());
                // A server that is down: the client sees its connection closed.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                shared.open.lock().unwrap().push(server.try_clone().unwrap());
                pass(client.try_clone().unwrap(), server.try_clone().unwrap(), number, &shared);
                pass(server, client, number, &shared);
            }
        });
        Self { address, state }
    }

    /// A server that accepts and never says anything.
    pub fn black_hole() -> Self {
        let proxy = Self::new("127.0.0.1:0", "127.0.0.1:1");
        proxy.swallow(true);
        proxy
    }

    /// Every open connection ends.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on it is as if the server were down: every open connection ends, and every new one; or no longer.
    pub fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, SeqCst);
        self.cut();
    }

    /// From now on nothing passes, old connections and new ones alike, and none is closed.
    pub fn swallow(&self, swallow: bool) {
        self.state.swallowing.store(swallow, SeqCst);
    }

    /// Nothing passes any more on the connections that are open; new ones are fine.
    pub fn abandon(&self) {
        self.state.abandoned.store(self.accepted(), SeqCst);
    }

    /// Each piece of data is held back for so long.
    pub fn delay(&self, delay: Duration) {
        self.state.delay_ms.store(delay.as_millis().try_into().unwrap(), SeqCst);
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, SeqCst);
        self.cut();
        // Wakes the listener, which then goes.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, number: usize, state: &Arc<State>) {
    let state = Arc::clone(state);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1_024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            sleep(Duration::from_millis(state.delay_ms.load(SeqCst)));
            let held = || state.swallowing.load(SeqCst) || number <= state.abandoned.load(SeqCst);
            while held() && !state.stopped.load(SeqCst) {
                sleep(Duration::from_millis(20));
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
