//! The four Rust multiplexers behind one face.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, Mutex};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

/// What an error text starts with when the public API has no means for a request.
pub const UNSUPPORTED: &str = "unsupported: the implementation has no means for this";

/// The `key=value` arguments; a key that nobody asked for is an error.
pub struct Options {
    values: HashMap<String, String>,
}

impl Options {
    pub fn new(arguments: &[String]) -> Result<Self, String> {
        let mut values = HashMap::new();
        for argument in arguments {
            let (key, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("not key=value: {argument}"))?;
            values.insert(key.to_string(), value.to_string());
        }
        Ok(Self { values })
    }

    pub fn number(&mut self, key: &str, otherwise: u64) -> Result<u64, String> {
        match self.values.remove(key) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|e| format!("option {key}: {e}")),
        }
    }

    pub fn duration(&mut self, key: &str, otherwise: Duration) -> Result<Duration, String> {
        let ms = self.number(key, otherwise.as_millis() as u64)?;
        Ok(Duration::from_millis(ms))
    }

    pub fn unknown(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

/// A stream of any of the implementations.
pub enum Stream {
    NetMux(net_mux::Stream),
    VtMuxer(Box<vt_muxer::MuxConnection>),
    Smux(smux::Stream),
    Yamux(Compat<yamux::Stream>),
}

impl Stream {
    /// What tells the stream from others in events.
    pub fn key(&self) -> serde_json::Value {
        match self {
            Stream::NetMux(s) => s.id().into(),
            Stream::VtMuxer(s) => s.addr().to_string().into(),
            Stream::Smux(s) => s.stream_id().into(),
            Stream::Yamux(s) => s.get_ref().id().val().into(),
        }
    }

    /// Drop the stream at once: yamux resets what is dropped while it is open.
    pub fn reset(self) -> Result<(), String> {
        match self {
            Stream::NetMux(s) => s.reset(),
            Stream::Yamux(s) => drop(s),
            Stream::Smux(_) | Stream::VtMuxer(_) => return Err(UNSUPPORTED.into()),
        }
        Ok(())
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::NetMux(s) => { let $stream = Pin::new(s); $call }
            Stream::VtMuxer(s) => { let $stream = Pin::new(&mut **s); $call }
            Stream::Smux(s) => { let $stream = Pin::new(s); $call }
            Stream::Yamux(s) => { let $stream = Pin::new(s); $call }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        delegate!(self, s => s.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        delegate!(self, s => s.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        delegate!(self, s => s.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        delegate!(self, s => s.poll_shutdown(cx))
    }
}

/// A session of any of the implementations.
#[derive(Clone)]
pub enum Session {
    NetMux(net_mux::Session<TcpStream>),
    VtMuxer(Arc<VtSession>),
    Smux(smux::Session),
    Yamux(Arc<YamuxSession>),
}

/// The peer needs somebody who polls, so that its carrier is read.
pub struct VtSession {
    listener: vt_muxer::MuxListener,
    client: bool,
    next: AtomicU32,
    nudge: Duration,
}

enum YamuxRequest {
    Open(oneshot::Sender<Result<yamux::Stream, String>>),
    Close(oneshot::Sender<Result<(), String>>),
}

/// The connection is polled by one task; others send it requests.
pub struct YamuxSession {
    requests: mpsc::UnboundedSender<YamuxRequest>,
    incoming: Mutex<mpsc::UnboundedReceiver<Result<yamux::Stream, String>>>,
}

impl Session {
    /// Start a session, and give the name of the crate.
    pub async fn start(
        implementation: &str,
        carrier: TcpStream,
        client: bool,
        o: &mut Options,
    ) -> Result<(Self, &'static str), String> {
        match implementation {
            "net-mux" => Ok((start_net_mux(carrier, client, o)?, "net-mux")),
            "vt-muxer" => Ok((start_vt_muxer(carrier, client, o)?, "vt-muxer")),
            "smux" => Ok((start_smux(carrier, client, o).await?, "smux")),
            "yamux" => Ok((start_yamux(carrier, client, o)?, "yamux")),
            other => Err(format!("unknown implementation {other}")),
        }
    }

    pub async fn open(&self, name: &str) -> Result<Stream, String> {
        match self {
            Session::NetMux(s) => s.open().await.map(Stream::NetMux).map_err(|e| e.to_string()),
            Session::Smux(s) => s.open_stream().await.map(Stream::Smux).map_err(|e| e.to_string()),
            Session::VtMuxer(s) => {
                let address: SocketAddr = if name.contains(':') {
                    name.parse().map_err(|e| format!("{name}: {e}"))?
                } else {
                    // Each side numbers its own streams in an address space of its own.
                    let n = s.next.fetch_add(1, Ordering::Relaxed);
                    let side = if s.client { 1 } else { 2 };
                    SocketAddr::from(([10, side, (n / 60000) as u8, 1], (1 + n % 60000) as u16))
                };
                let address = vt_muxer::thin_addr::SocketAddr::from_std(address);
                s.listener
                    .add_connection(address)
                    .await
                    .map(|c| Stream::VtMuxer(Box::new(c)))
                    .map_err(|e| e.to_string())
            }
            Session::Yamux(s) => {
                let (tx, rx) = oneshot::channel();
                s.requests
                    .send(YamuxRequest::Open(tx))
                    .map_err(|_| "connection closed".to_string())?;
                let stream = rx.await.map_err(|_| "connection closed".to_string())??;
                Ok(Stream::Yamux(stream.compat()))
            }
        }
    }

    pub async fn accept(&self) -> Result<Stream, String> {
        match self {
            Session::NetMux(s) => s.accept().await.map(Stream::NetMux).map_err(|e| e.to_string()),
            Session::Smux(s) => s.accept_stream().await.map(Stream::Smux).map_err(|e| e.to_string()),
            Session::VtMuxer(s) => loop {
                if s.nudge.is_zero() {
                    return s.listener.accept().await
                        .map(|c| Stream::VtMuxer(Box::new(c)))
                        .map_err(|e| e.to_string());
                }
                // Poll again and again: the crate at times forgets to ask to be woken.
                match tokio::time::timeout(s.nudge, s.listener.accept()).await {
                    Ok(result) => {
                        return result
                            .map(|c| Stream::VtMuxer(Box::new(c)))
                            .map_err(|e| e.to_string())
                    }
                    Err(_) => continue,
                }
            },
            Session::Yamux(s) => match s.incoming.lock().await.recv().await {
                Some(Ok(stream)) => Ok(Stream::Yamux(stream.compat())),
                Some(Err(e)) => Err(e),
                None => Err("connection closed".into()),
            },
        }
    }

    pub async fn close(&self) -> Result<(), String> {
        match self {
            Session::NetMux(s) => {
                s.close().await;
                Ok(())
            }
            Session::Smux(s) => s.close().await.map_err(|e| e.to_string()),
            Session::VtMuxer(_) => Err(UNSUPPORTED.into()),
            Session::Yamux(s) => {
                let (tx, rx) = oneshot::channel();
                s.requests
                    .send(YamuxRequest::Close(tx))
                    .map_err(|_| "connection closed".to_string())?;
                rx.await.map_err(|_| "connection closed".to_string())?
            }
        }
    }
}

fn start_net_mux(carrier: TcpStream, client: bool, o: &mut Options) -> Result<Session, String> {
    use net_mux::Config;
    let interval = o.duration("keepalive", Config::DEFAULT_KEEPALIVE_INTERVAL)?;
    let config = Config::builder()
        .initial_stream_window(o.number("window", Config::DEFAULT_INITIAL_STREAM_WINDOW.into())? as u32)
        .max_frame_size(o.number("max_frame", Config::DEFAULT_MAX_FRAME_SIZE.into())? as u32)
        .max_streams(o.number("max_streams", Config::DEFAULT_MAX_STREAMS as u64)? as usize)
        .keepalive_interval(if interval.is_zero() { None } else { Some(interval) })
        .keepalive_timeout(o.duration("keepalive_timeout", Config::DEFAULT_KEEPALIVE_TIMEOUT)?)
        .open_timeout(o.duration("open_timeout", Config::DEFAULT_OPEN_TIMEOUT)?)
        .build();
    Ok(Session::NetMux(if client {
        net_mux::Session::client(carrier, config)
    } else {
        net_mux::Session::server(carrier, config)
    }))
}

fn start_vt_muxer(carrier: TcpStream, client: bool, o: &mut Options) -> Result<Session, String> {
    Ok(Session::VtMuxer(Arc::new(VtSession {
        listener: vt_muxer::MuxListener::new(carrier),
        client,
        next: AtomicU32::new(0),
        nudge: o.duration("nudge", Duration::from_millis(2))?,
    })))
}

async fn start_smux(carrier: TcpStream, client: bool, o: &mut Options) -> Result<Session, String> {
    let mut config = smux::Config::default();
    config.version = o.number("version", config.version.into())? as u8;
    config.keep_alive_interval = o.duration("keepalive", config.keep_alive_interval)?;
    config.keep_alive_timeout = o.duration("keepalive_timeout", config.keep_alive_timeout)?;
    if config.keep_alive_interval.is_zero() {
        config.enable_keep_alive = false;
    }
    // The crate counts the header: the largest payload is 8 less.
    config.max_frame_size = o.number("max_frame", config.max_frame_size as u64)? as usize;
    config.max_receive_buffer = o.number("receive_buffer", config.max_receive_buffer as u64)? as usize;
    config.max_stream_buffer = o.number("window", config.max_stream_buffer as u64)? as usize;
    config.validate().map_err(|e| e.to_string())?;
    let session = if client {
        smux::Session::client(carrier, config).await
    } else {
        smux::Session::server(carrier, config).await
    };
    session.map(Session::Smux).map_err(|e| e.to_string())
}

fn start_yamux(carrier: TcpStream, client: bool, o: &mut Options) -> Result<Session, String> {
    let mut config = yamux::Config::default();
    // The limit of all windows counts 256 KiB for each stream: fewer streams first, then the limit.
    config.set_max_num_streams(o.number("max_streams", 512)? as usize);
    config.set_max_connection_receive_window(match o.number("connection_window", 1 << 30)? {
        0 => None,
        n => Some(n as usize),
    });
    config.set_split_send_size(o.number("max_frame", 16 * 1024)? as usize);
    let mode = if client { yamux::Mode::Client } else { yamux::Mode::Server };
    let connection = yamux::Connection::new(carrier.compat(), config, mode);
    let (requests, request_queue) = mpsc::unbounded_channel();
    let (accepted, incoming) = mpsc::unbounded_channel();
    tokio::spawn(drive_yamux(connection, request_queue, accepted));
    Ok(Session::Yamux(Arc::new(YamuxSession {
        requests,
        incoming: Mutex::new(incoming),
    })))
}

async fn drive_yamux(
    mut connection: yamux::Connection<Compat<TcpStream>>,
    mut requests: mpsc::UnboundedReceiver<YamuxRequest>,
    accepted: mpsc::UnboundedSender<Result<yamux::Stream, String>>,
) {
    let mut opens = std::collections::VecDeque::new();
    let closer = poll_fn(|cx| loop {
        match requests.poll_recv(cx) {
            Poll::Ready(Some(YamuxRequest::Open(tx))) => {
                opens.push_back(tx);
                continue;
            }
            Poll::Ready(Some(YamuxRequest::Close(tx))) => return Poll::Ready(Some(tx)),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        while !opens.is_empty() {
            match connection.poll_new_outbound(cx) {
                Poll::Ready(result) => {
                    if let Some(tx) = opens.pop_front() {
                        let _ = tx.send(result.map_err(|e| e.to_string()));
                    }
                }
                Poll::Pending => break,
            }
        }
        match connection.poll_next_inbound(cx) {
            Poll::Ready(Some(Ok(stream))) => {
                let _ = accepted.send(Ok(stream));
            }
            Poll::Ready(Some(Err(e))) => {
                let _ = accepted.send(Err(e.to_string()));
                return Poll::Ready(None);
            }
            Poll::Ready(None) => {
                let _ = accepted.send(Err("connection closed".into()));
                return Poll::Ready(None);
            }
            Poll::Pending => return Poll::Pending,
        }
    })
    .await;
    if let Some(tx) = closer {
        let result = poll_fn(|cx| connection.poll_close(cx)).await;
        let _ = tx.send(result.map_err(|e| e.to_string()));
    }
}
