//! The hello server in Rust, which knows nothing of clusterd: it binds the port that
//! it is told, and that bind is adopted. The standard library suffices.
//!
//!     rustc -O -o hello-rust hello.rs && clusterd -c hello-rust.ini
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, io, process, thread, time::Duration};

fn answer(mut client: TcpStream, hello: &str) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?; // half a request holds up nobody
    client.set_nodelay(true)?;
    let (mut request, mut len) = ([0; 8192], 0);
    while len < request.len() {
        match client.read(&mut request[len..])? {
            0 => return Ok(()),
            n => len += n,
        }
        if request[..len].windows(4).any(|w| w == b"\r\n\r\n") {
            break;
        }
    }
    let (code, body) = if len < request.len() {
        ("200 OK", hello)
    } else {
        ("431 Request Header Fields Too Large", "")
    };
    let head = request.starts_with(b"HEAD ");
    let length = body.len();
    let body = if head { "" } else { body };
    client.write_all(
        format!("HTTP/1.1 {code}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .as_bytes(),
    )
}

fn main() -> io::Result<()> {
    let variable = |name, preset: &str| env::var(name).unwrap_or_else(|_| preset.to_string());
    let port = variable("PORT", "8080");
    let instance = variable("CLUSTERD_INSTANCE", "-");
    let hello: &str = format!("hello from instance {instance}, pid {}\n", process::id()).leak();
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for client in listener.incoming() {
        match client {
            Ok(client) => drop(thread::spawn(move || answer(client, hello))),
            Err(_) => thread::sleep(Duration::from_millis(100)), // out of descriptors
        }
    }
    Ok(())
}
