//! A TCP proxy that counts what passes, so that bytes on the wire are those of TLS, HTTP/2 and everything above. It changes nothing and
//! knows nothing of what it carries.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes that passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the one who dials: the child.
    pub up: u64,
    /// To it.
    pub down: u64,
}

#[derive(Debug, Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    stopped: AtomicBool,
}

/// A running proxy. It takes no more connections once it is dropped; those that it has end with their ends.
pub struct Proxy {
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Proxy {
    /// A proxy before `target`, on a free port.
    pub fn before(target: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A parent that is away: the child sees its connection end, as it would without us.
                let Ok((child, parent)) = connection.and_then(|child| Ok((child, TcpStream::connect(&target)?))) else {
                    continue;
                };
                carry(&child, &parent, &shared, |counts| &counts.up);
                carry(&parent, &child, &shared, |counts| &counts.down);
            }
        });
        Ok(Self { address, counts })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What passed so far.
    pub fn passed(&self) -> Passed {
        Passed { up: self.counts.up.load(Ordering::Relaxed), down: self.counts.down.load(Ordering::Relaxed) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.counts.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees it.
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(from: &TcpStream, to: &TcpStream, counts: &Arc<Counts>, count: fn(&Counts) -> &AtomicU64) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let counts = counts.clone();
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    count(&counts).fetch_add(read as u64, Ordering::Relaxed);
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            }
        }
        // Either end may have gone.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

/// What passed by each, once nothing has passed for `quiet`.
pub fn settled(proxies: &[Proxy], quiet: Duration) -> Vec<Passed> {
    let all = || proxies.iter().map(Proxy::passed).collect::<Vec<_>>();
    let mut last = all();
    loop {
        // The quiet is what is measured here.
        thread::sleep(quiet);
        let now = all();
        if now == last {
            return now;
        }
        last = now;
    }
}
