//! Drives one of the Rust multiplexers from the outside: JSON commands come in on standard input, JSON events and
//! replies go out on standard output, one object a line.
//!
//!     interop-peer IMPLEMENTATION dial|listen HOST:PORT [key=value ...]
//!
//! The README beside this folder describes commands, services and options.

mod peers;
mod scenarios;
mod services;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use peers::{Options, Session};
use scenarios::Command;
use services::Peer;

/// Write one line to standard output.
pub fn say(object: Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{object}");
    let _ = out.flush();
}

/// The version of a crate that this binary was built with.
fn crate_version(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if line == format!("name = \"{name}\"") {
            if let Some(version) = lines.next() {
                return version.trim_start_matches("version = ").trim_matches('"').to_string();
            }
        }
    }
    "unknown".into()
}

async fn start(arguments: &[String]) -> Result<Arc<Peer>, String> {
    let [implementation, mode, address, rest @ ..] = arguments else {
        return Err("usage: interop-peer IMPLEMENTATION dial|listen HOST:PORT [key=value ...]".into());
    };
    let mut options = Options::new(rest)?;
    let accepting = options.number("accepting", 1)? != 0;
    let delay = options.duration("accept_delay", Duration::ZERO)?;
    let text = |e: std::io::Error| e.to_string();
    let carrier = match mode.as_str() {
        "dial" => TcpStream::connect(address).await.map_err(text)?,
        "listen" => {
            let listener = TcpListener::bind(address).await.map_err(text)?;
            say(json!({"event": "listening", "port": listener.local_addr().map_err(text)?.port()}));
            listener.accept().await.map_err(text)?.0
        }
        other => return Err(format!("neither dial nor listen: {other:?}")),
    };
    carrier.set_nodelay(true).map_err(text)?;
    let client = mode == "dial";
    let (session, name) = Session::start(implementation, carrier, client, &mut options).await?;
    let unknown = options.unknown();
    if !unknown.is_empty() {
        return Err(format!("unknown options: {}", unknown.join(", ")));
    }
    say(json!({"event": "ready", "implementation": name, "version": crate_version(name),
        "role": if client { "client" } else { "server" }}));
    Ok(Arc::new(Peer::new(session, accepting, delay)))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let peer = match start(&arguments).await {
        Ok(peer) => peer,
        Err(e) => {
            say(json!({"event": "failed", "error": e}));
            std::process::exit(2);
        }
    };
    tokio::spawn(peer.clone().accept_loop());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match Command::new(&line) {
            Ok(command) => {
                tokio::spawn(peer.clone().execute(command));
            }
            Err(e) => say(json!({"event": "failed", "error": format!("bad command: {e}")})),
        }
    }
    // Whoever started us is gone.
    std::process::exit(0);
}
