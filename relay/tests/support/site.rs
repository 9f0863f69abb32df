//! A web site of somebody else: one page, with the headers that isolate it or without.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// What makes a browser give a page a process of its own, as the relay's player page has it.
const ISOLATION: &str = "cross-origin-opener-policy: same-origin\r\n\
                         cross-origin-embedder-policy: require-corp\r\n";

/// Serves its page at every path, until it is dropped.
pub(crate) struct Site {
    /// Where it is.
    pub(crate) addr: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// Starts a site whose body is this HTML.
    #[track_caller]
    pub(crate) fn start(body: &str) -> Self {
        Self::start_with(body, "")
    }

    /// The same, isolated.
    #[track_caller]
    pub(crate) fn start_isolated(body: &str) -> Self {
        Self::start_with(body, ISOLATION)
    }

    #[track_caller]
    fn start_with(body: &str, headers: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let page = format!("<!doctype html><meta charset=utf-8><title>Elsewhere</title>{body}");
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                // A browser that goes away in the middle is its own affair.
                let _ = answer(&socket, headers, &page);
            }
        });
        Self {
            addr,
            over,
            thread: Some(thread),
        }
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        drop(TcpStream::connect(self.addr));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn answer(mut socket: &TcpStream, headers: &str, page: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let length = page.len();
    write!(
        socket,
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\
         {headers}connection: close\r\n\r\n{page}"
    )
}
