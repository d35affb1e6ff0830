//! The commands, and the opener's side of every service.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tokio::io::{AsyncWriteExt, BufReader};

use crate::peers::UNSUPPORTED;
use crate::say;
use crate::services::{kind, noise_hash, note_error, read_all, read_exactly, unhex, write_noise, Meter, Peer};

/// One line of standard input.
#[derive(Clone)]
pub struct Command(Value);

impl Command {
    pub fn new(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map(Command).map_err(|e| e.to_string())
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or("")
    }

    fn number(&self, key: &str) -> i64 {
        self.0[key].as_i64().unwrap_or(0)
    }

    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }
}

impl Peer {
    /// Answer one command with one reply.
    pub async fn execute(self: Arc<Self>, c: Command) {
        if c.text("cmd") == "exit" {
            say(json!({"id": c.number("id"), "ok": true}));
            std::process::exit(0);
        }
        let limit = c.0["timeout"].as_f64().unwrap_or(120.0);
        let mut reply = json!({});
        let result = match tokio::time::timeout(
            Duration::from_secs_f64(limit),
            self.command(&c, &mut reply),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Err("the command took too long".to_string()),
        };
        reply["id"] = c.number("id").into();
        reply["ok"] = result.is_ok().into();
        note_error(&mut reply, result.err());
        say(reply);
    }

    async fn command(self: &Arc<Self>, c: &Command, reply: &mut Value) -> Result<(), String> {
        match c.text("cmd") {
            "open" => self.open(c, reply).await,
            // No implementation here lets its user ping, or send a go-away and go on.
            "ping" | "goaway" | "abort" => Err(UNSUPPORTED.into()),
            "close" => self.session.close().await,
            "stats" => {
                reply["streams"] = (-1).into();
                reply["accepted"] = self.accepted.load(Ordering::Relaxed).into();
                reply["held"] = self.held.lock().unwrap().len().into();
                Ok(())
            }
            "accepting" => {
                self.accepting.send_replace(c.flag("on"));
                Ok(())
            }
            "release" => {
                self.released.send_replace(true);
                Ok(())
            }
            _ => self.drive(c, reply).await,
        }
    }

    /// Drive one held stream by hand.
    async fn drive(&self, c: &Command, reply: &mut Value) -> Result<(), String> {
        let slot = self.held.lock().unwrap().get(c.text("name")).cloned();
        let slot = slot.ok_or_else(|| {
            format!("no held stream {:?}, or unknown command {:?}", c.text("name"), c.text("cmd"))
        })?;
        let mut slot = slot.lock().await;
        if c.text("cmd") == "reset" {
            let stream = slot.take().ok_or("the stream is gone")?;
            return stream.into_inner().reset();
        }
        if c.text("cmd") == "close-stream" {
            let mut stream = slot.take().ok_or("the stream is gone")?;
            let result = stream.shutdown().await.map_err(|e| e.to_string());
            drop(stream);
            return result;
        }
        if c.text("cmd") == "drop" {
            drop(slot.take());
            return Ok(());
        }
        let stream = slot.as_mut().ok_or("the stream is gone")?;
        let mut m = Meter::default();
        let result = match c.text("cmd") {
            "write" => {
                if c.text("hex").is_empty() {
                    let (n, chunk) = (c.number("size") as u64, c.number("chunk") as usize);
                    write_noise(stream, n, c.number("seed"), chunk, &mut m).await
                } else {
                    let data = unhex(c.text("hex"))?;
                    m.take(&data);
                    match stream.write_all(&data).await {
                        Ok(()) => stream.flush().await,
                        Err(e) => Err(e),
                    }
                }
            }
            "read" => read_exactly(stream, c.number("size") as u64, &mut m).await,
            "read-all" => read_all(stream, &mut m).await,
            "end" => return stream.shutdown().await.map_err(|e| e.to_string()),
            other => return Err(format!("unknown command {other:?}")),
        };
        reply["bytes"] = m.n.into();
        reply["sha256"] = m.sum().into();
        result.map_err(|e| e.to_string())
    }

    /// Open streams and run the opener's side of a service on each.
    async fn open(self: &Arc<Self>, c: &Command, reply: &mut Value) -> Result<(), String> {
        let service = c.text("service");
        if service == "manual" || service == "none" {
            let stream = self.session.open(c.text("address")).await?;
            reply["stream"] = stream.key();
            let mut stream = BufReader::with_capacity(64, stream);
            if service == "manual" {
                let line = format!("manual {}\n", c.text("name"));
                stream.write_all(line.as_bytes()).await.map_err(|e| e.to_string())?;
                stream.flush().await.map_err(|e| e.to_string())?;
            }
            self.keep(c.text("name"), stream);
            return Ok(());
        }
        let count = c.number("streams").max(1);
        let started = Instant::now();
        let mut results = Vec::new();
        if c.flag("concurrent") {
            let tasks: Vec<_> = (0..count)
                .map(|i| tokio::spawn(self.clone().one(c.clone(), c.number("seed") + i)))
                .collect();
            for task in tasks {
                results.push(task.await.map_err(|e| e.to_string())?);
            }
        } else {
            for i in 0..count {
                results.push(self.clone().one(c.clone(), c.number("seed") + i).await);
            }
        }
        let total = |key: &str| results.iter().map(|r| r[key].as_u64().unwrap_or(0)).sum::<u64>();
        let (sent, received) = (total("sent"), total("received"));
        let bad: Vec<_> = results.iter().filter(|r| r["ok"] != true).collect();
        let (failed, first) = (bad.len(), bad.first().map(|r| r["error"].as_str().unwrap_or("").to_string()));
        let shown: Vec<_> = results.iter().filter(|r| count <= 8 || r["ok"] != true).take(8).cloned().collect();
        *reply = json!({"streams": count, "failed": failed, "results": shown, "sent": sent,
            "received": received, "seconds": started.elapsed().as_secs_f64()});
        first.map_or(Ok(()), Err)
    }

    async fn one(self: Arc<Self>, c: Command, seed: i64) -> Value {
        let (mut in_, mut out) = (Meter::default(), Meter::default());
        let mut report = json!({});
        let result = self.open_one(&c, seed, &mut report, &mut in_, &mut out).await;
        report["ok"] = result.is_ok().into();
        report["sent"] = out.n.into();
        report["sentSha256"] = out.sum().into();
        report["received"] = in_.n.into();
        report["receivedSha256"] = in_.sum().into();
        note_error(&mut report, result.err());
        report
    }

    async fn open_one(
        &self,
        c: &Command,
        seed: i64,
        report: &mut Value,
        in_: &mut Meter,
        out: &mut Meter,
    ) -> Result<(), String> {
        let service = c.text("service").to_string();
        let (size, ms, chunk) = (c.number("size") as u64, c.number("ms"), c.number("chunk") as usize);
        let exact = (c.flag("exact") && service != "sink") || service == "take";
        let text = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
        let mut st = self.session.open(c.text("address")).await.map_err(|e| format!("open: {e}"))?;
        report["stream"] = st.key();
        let line = match service.as_str() {
            "source" | "half" | "late" => format!("{service} {size} {seed}\n"),
            "take" => format!("take {size}\n"),
            "hold" if exact => format!("hold {ms} {size}\n"),
            "hold" | "close-unread" => format!("{service} {ms}\n"),
            "reset" => format!("reset {ms} {}\n", c.number("code")),
            _ => format!("{service}\n"),
        };
        st.write_all(line.as_bytes()).await.map_err(text("line"))?;
        st.flush().await.map_err(text("line"))?;
        match service.as_str() {
            "echo" if exact => {
                let (mut r, mut w) = tokio::io::split(st);
                let write = write_noise(&mut w, size, seed, chunk, out);
                let read = read_exactly(&mut r, size, in_);
                let (wrote, got) = tokio::join!(write, read);
                wrote.map_err(text("write"))?;
                got.map_err(text("read"))?;
                w.shutdown().await.map_err(text("end"))?;
                read_all(&mut r, in_).await.map_err(text("read"))?;
                same(&in_.sum(), &out.sum())
            }
            "echo" => {
                let (mut r, mut w) = tokio::io::split(st);
                let write = async {
                    write_noise(&mut w, size, seed, chunk, out).await?;
                    w.shutdown().await
                };
                let (wrote, got) = tokio::join!(write, read_all(&mut r, in_));
                wrote.map_err(text("write"))?;
                got.map_err(text("read"))?;
                same(&in_.sum(), &out.sum())
            }
            "sink" | "hold" | "take" => {
                write_noise(&mut st, size, seed, chunk, out).await.map_err(text("write"))?;
                if !exact {
                    st.shutdown().await.map_err(text("end"))?;
                }
                read_all(&mut st, in_).await.map_err(text("read"))?;
                if exact {
                    st.shutdown().await.map_err(text("end"))?;
                }
                let mut want = Meter::default();
                want.take(format!("{} {}\n", out.n, out.sum()).as_bytes());
                same(&in_.sum(), &want.sum())
            }
            "source" => {
                read_all(&mut st, in_).await.map_err(text("read"))?;
                st.shutdown().await.map_err(text("end"))?;
                same(&in_.sum(), &noise_hash(size, seed))
            }
            "half" => {
                read_all(&mut st, in_).await.map_err(text("read"))?;
                write_noise(&mut st, size, seed, chunk, out).await.map_err(text("write after the other end"))?;
                st.shutdown().await.map_err(text("end"))?;
                same(&in_.sum(), &noise_hash(size, seed))
            }
            "late" => {
                st.shutdown().await.map_err(text("end"))?;
                read_all(&mut st, in_).await.map_err(text("read"))?;
                same(&in_.sum(), &noise_hash(size, seed))
            }
            "close-unread" | "reset" => {
                // What happens to us is the result: no outcome is wrong as such.
                let (mut r, mut w) = tokio::io::split(st);
                let mut writing = Box::pin(write_noise(&mut w, size, seed, chunk, out));
                let (ended, got) = {
                    let mut reading = Box::pin(read_all(&mut r, in_));
                    tokio::select! {
                        wrote = &mut writing => (Some(wrote), reading.await),
                        got = &mut reading => (None, got),
                    }
                };
                let ended = match ended {
                    Some(result) => outcome(result),
                    None => match tokio::time::timeout(Duration::from_secs(1), writing).await {
                        Ok(result) => outcome(result),
                        Err(_) => "blocked",
                    },
                };
                report["writeEnd"] = ended.into();
                report["readEnd"] = outcome(got).into();
                Ok(())
            }
            other => Err(format!("unknown service {other:?}")),
        }
    }
}

fn outcome(result: std::io::Result<()>) -> &'static str {
    match result {
        Ok(()) => "end",
        Err(e) => kind(&e.to_string()),
    }
}

fn same(got: &str, want: &str) -> Result<(), String> {
    if got == want {
        Ok(())
    } else {
        Err(format!("content differs: got {got:?}, want {want:?}"))
    }
}
