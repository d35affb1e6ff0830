use std::error::Error;

use net_mux::{Config, Session, Stream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Answer lines in upper case.
async fn serve(stream: Stream) -> std::io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = format!("{}\n", line.to_uppercase());
        writer.write_all(answer.as_bytes()).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

async fn listen(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("listening");
    loop {
        let (carrier, _) = listener.accept().await?;
        let session = Session::server(carrier, Config::default());
        tokio::spawn(async move {
            while let Ok(stream) = session.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    }
}

async fn ask(address: &str) -> Result<(), Box<dyn Error>> {
    let carrier = TcpStream::connect(address).await?;
    let session = Session::client(carrier, Config::default());
    for word in ["one", "two", "three"] {
        let (reader, mut writer) = tokio::io::split(session.open().await?);
        writer.write_all(format!("{word}\n").as_bytes()).await?;
        writer.flush().await?;
        let mut lines = BufReader::new(reader).lines();
        println!("answer: {}", lines.next_line().await?.unwrap_or_default());
        writer.shutdown().await?;
    }
    session.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments[1].as_str() {
        "listen" => listen(&arguments[2]).await,
        _ => ask(&arguments[2]).await,
    }
}
