//! The acceptor's side of every service, and the deterministic bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::Shake128;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::watch;

use crate::peers::{Session, Stream, UNSUPPORTED};
use crate::say;

pub const CHUNK: usize = 64 * 1024;

/// Counts and hashes what passes.
#[derive(Default)]
pub struct Meter {
    pub n: u64,
    hash: Sha256,
}

impl Meter {
    pub fn take(&mut self, data: &[u8]) {
        self.n += data.len() as u64;
        Digest::update(&mut self.hash, data);
    }

    pub fn sum(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

pub fn hex(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn unhex(text: &str) -> Result<Vec<u8>, String> {
    if text.len() % 2 != 0 {
        return Err("odd number of hex digits".into());
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|e| e.to_string()))
        .collect()
}

/// Pseudo-random bytes: SHAKE-128 of the seed in decimal.
pub fn noise(seed: i64) -> impl XofReader {
    let mut shake = Shake128::default();
    shake.update(seed.to_string().as_bytes());
    shake.finalize_xof()
}

pub fn noise_hash(n: u64, seed: i64) -> String {
    let mut source = noise(seed);
    let mut m = Meter::default();
    let mut buffer = vec![0; CHUNK];
    while m.n < n {
        let k = CHUNK.min((n - m.n) as usize);
        source.read(&mut buffer[..k]);
        m.take(&buffer[..k]);
    }
    m.sum()
}

pub async fn write_noise<W: AsyncWrite + Unpin>(
    w: &mut W,
    n: u64,
    seed: i64,
    chunk: usize,
    m: &mut Meter,
) -> std::io::Result<()> {
    let chunk = if chunk == 0 { CHUNK } else { chunk };
    let mut source = noise(seed);
    let mut buffer = vec![0; chunk];
    let mut left = n;
    while left > 0 {
        let k = chunk.min(left as usize);
        source.read(&mut buffer[..k]);
        let mut done = 0;
        while done < k {
            match w.write(&buffer[done..k]).await? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                wrote => {
                    m.take(&buffer[done..done + wrote]);
                    done += wrote;
                }
            }
        }
        left -= k as u64;
    }
    w.flush().await
}

pub async fn read_all<R: AsyncRead + Unpin>(r: &mut R, m: &mut Meter) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match r.read(&mut buffer).await? {
            0 => return Ok(()),
            n => m.take(&buffer[..n]),
        }
    }
}

pub async fn read_exactly<R: AsyncRead + Unpin>(r: &mut R, n: u64, m: &mut Meter) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut left = n;
    while left > 0 {
        let k = CHUNK.min(left as usize);
        match r.read(&mut buffer[..k]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            got => {
                m.take(&buffer[..got]);
                left -= got as u64;
            }
        }
    }
    Ok(())
}

/// Sorts an error of any of the implementations by its text.
pub fn kind(text: &str) -> &'static str {
    let text = text.to_lowercase();
    if text.starts_with("unsupported") {
        "unsupported"
    } else if text.contains("reset") {
        "reset"
    } else if text.contains("took too long") {
        "timeout"
    } else if text.contains("closed") || text.contains("broken pipe") || text.contains("eof") || text.contains("shut") {
        "closed"
    } else {
        "other"
    }
}

/// A stream with what was read of it past the first line.
pub type Held = BufReader<Stream>;

/// The session with what the commands need to remember.
pub struct Peer {
    pub session: Session,
    pub accepting: watch::Sender<bool>,
    pub released: watch::Sender<bool>,
    pub delay: Duration,
    pub accepted: AtomicU64,
    pub held: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Held>>>>>,
}

impl Peer {
    pub fn new(session: Session, accepting: bool, delay: Duration) -> Self {
        Self {
            session,
            accepting: watch::channel(accepting).0,
            released: watch::channel(false).0,
            delay,
            accepted: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    pub fn keep(&self, name: &str, stream: Held) {
        let stream = Arc::new(tokio::sync::Mutex::new(Some(stream)));
        self.held.lock().unwrap().insert(name.to_string(), stream);
    }

    /// Take streams until the session ends.
    pub async fn accept_loop(self: Arc<Self>) {
        let mut accepting = self.accepting.subscribe();
        loop {
            let _ = accepting.wait_for(|on| *on).await;
            tokio::time::sleep(self.delay).await;
            match self.session.accept().await {
                Ok(stream) => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(self.clone().serve(stream));
                }
                Err(e) => {
                    say(json!({"event": "closed", "error": e}));
                    return;
                }
            }
        }
    }

    /// Run the service that the opener's first line asks for.
    async fn serve(self: Arc<Self>, stream: Stream) {
        let key = stream.key();
        let mut stream = BufReader::with_capacity(64, stream);
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await {
                Ok(b'\n') => break,
                Ok(byte) => line.push(byte),
                Err(e) => {
                    let text = e.to_string();
                    say(json!({"event": "served", "stream": key, "service": "", "ok": false,
                        "error": text, "kind": kind(&text)}));
                    return;
                }
            }
        }
        let line = String::from_utf8_lossy(&line).to_string();
        let words: Vec<&str> = line.split_whitespace().collect();
        let service = words.first().copied().unwrap_or("");
        say(json!({"event": "accepted", "stream": key, "service": service, "line": line}));
        if service == "manual" && words.len() > 1 {
            self.keep(words[1], stream);
            return;
        }
        let (mut in_, mut out) = (Meter::default(), Meter::default());
        let result = self.run(&words, stream, &mut in_, &mut out).await;
        let mut report = json!({"event": "served", "stream": key, "service": service, "ok": result.is_ok(),
            "received": in_.n, "receivedSha256": in_.sum(), "sent": out.n, "sentSha256": out.sum()});
        note_error(&mut report, result.err());
        say(report);
    }

    async fn run(&self, words: &[&str], mut st: Held, in_: &mut Meter, out: &mut Meter) -> Result<(), String> {
        let number = |i: usize| words.get(i).and_then(|w| w.parse::<i64>().ok()).unwrap_or(0);
        let text = |e: std::io::Error| e.to_string();
        match words.first().copied().unwrap_or("") {
            "echo" => {
                // Written in one piece: vt-muxer sends parts of longer ones twice.
                let mut buffer = vec![0; CHUNK / 2];
                loop {
                    let n = st.read(&mut buffer).await.map_err(text)?;
                    if n == 0 {
                        break;
                    }
                    in_.take(&buffer[..n]);
                    st.write_all(&buffer[..n]).await.map_err(text)?;
                    st.flush().await.map_err(text)?;
                    out.take(&buffer[..n]);
                }
                st.shutdown().await.map_err(text)
            }
            "sink" => answer_sum(&mut st, in_, None).await.map_err(text),
            "take" => answer_sum(&mut st, in_, Some(number(1) as u64)).await.map_err(text),
            "hold" => {
                if number(1) >= 0 {
                    tokio::time::sleep(Duration::from_millis(number(1) as u64)).await;
                } else {
                    let _ = self.released.subscribe().wait_for(|on| *on).await;
                }
                let n = if words.len() > 2 { Some(number(2) as u64) } else { None };
                answer_sum(&mut st, in_, n).await.map_err(text)
            }
            "source" | "half" => {
                write_noise(&mut st, number(1) as u64, number(2), 0, out).await.map_err(text)?;
                st.shutdown().await.map_err(text)?;
                read_all(&mut st, in_).await.map_err(text)
            }
            "late" => {
                read_all(&mut st, in_).await.map_err(text)?;
                write_noise(&mut st, number(1) as u64, number(2), 0, out).await.map_err(text)?;
                st.shutdown().await.map_err(text)
            }
            "close-unread" => {
                // There is no close besides the end of our direction and the drop.
                tokio::time::sleep(Duration::from_millis(number(1) as u64)).await;
                st.shutdown().await.map_err(text)
            }
            "reset" => {
                tokio::time::sleep(Duration::from_millis(number(1) as u64)).await;
                st.into_inner().reset()
            }
            other => Err(format!("unknown service {other:?}")),
        }
    }
}

/// Say how much came in and its hash: at the end, or after n bytes.
async fn answer_sum(st: &mut Held, in_: &mut Meter, n: Option<u64>) -> std::io::Result<()> {
    match n {
        None => read_all(st, in_).await?,
        Some(n) => read_exactly(st, n, in_).await?,
    }
    st.write_all(format!("{} {}\n", in_.n, in_.sum()).as_bytes()).await?;
    st.flush().await?;
    st.shutdown().await?;
    if n.is_some() {
        read_all(st, &mut Meter::default()).await?;
    }
    Ok(())
}

/// Put an error into a reply or an event.
pub fn note_error(report: &mut Value, error: Option<String>) {
    if let Some(text) = error {
        report["kind"] = kind(&text).into();
        if text == UNSUPPORTED {
            report["unsupported"] = true.into();
        }
        report["error"] = text.into();
    }
}
