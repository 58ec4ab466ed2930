//! The least that a server needs to take the socket of clusterd, of the standard library
//! alone; started without clusterd it binds a port of its own.
//!
//!     rustc -O hello-minimal.rs && clusterd -p 8080 -n 4 -- ./hello-minimal
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::FromRawFd;
use std::{env, process};

fn listener() -> io::Result<TcpListener> {
    let Ok(fd) = env::var("CLUSTERD_FD") else {
        return TcpListener::bind("0.0.0.0:8080");
    };
    // Of several addresses it has several numbers, with a comma between.
    let fd = fd.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    Ok(unsafe { TcpListener::from_raw_fd(fd) }) // it is ours, and nobody else has it here
}

fn main() -> io::Result<()> {
    let instance = env::var("CLUSTERD_INSTANCE").unwrap_or_else(|_| "-".to_string());
    let hello = format!("hello from instance {instance}, pid {}\n", process::id());
    for client in listener()?.incoming() {
        let (mut client, mut request) = (client?, [0; 4096]);
        if client.read(&mut request).unwrap_or(0) > 0 {
            let _ = write!(client, "HTTP/1.0 200 OK\r\n\r\n{hello}"); // it may be gone
        }
    }
    Ok(())
}
