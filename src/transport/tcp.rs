//! TCP: a port for the server, and what becomes of an attempt to connect to it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::listener::{Files, Listener};
use super::unix::absent;
use super::{Attempt, Connected, LOG, Peer, discovery, os_error};
use crate::settings::Settings;
use crate::sys::{self, StreamSocket};
use crate::{Error, Result, Status};

/// Starts to listen, and publishes the port where that is possible.
pub(super) fn bind(event_name: &str, settings: &Settings) -> Result<Listener> {
    let (socket, address) = listen(settings)?;
    let has_token = settings.token.is_some() || settings.token_file.is_some();
    if !has_token && !address.ip().to_canonical().is_loopback() {
        log::warn!(
            target: LOG,
            "The TCP server of event '{event_name}' listens at {address} without a token: whoever \
             reaches that port may connect, read and send. Set token_file, or host = \"127.0.0.1\""
        );
    }
    let published = discovery::publish(event_name, address, settings).map_err(|error| {
        log::warn!(
            target: LOG,
            "The TCP server of event '{event_name}' at {address} is not published, clients reach \
             it by host and port only: {error}"
        );
    });
    Ok(Listener {
        socket,
        address: address.to_string(),
        port: address.port(),
        files: Files::Tcp { published: published.ok() },
    })
}

/// The addresses of `host`, which may be numeric or a name.
pub(super) fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let text = format!("Cannot look up host '{host}'; check its name, or use its numeric address");
    match (host, port).to_socket_addrs() {
        Ok(found) if found.len() == 0 => Err(Error::new(Status::Io, text)),
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(Error::os(Status::Io, text, &error)),
    }
}

/// Listens at the first address of `host` that is one of ours.
fn listen(settings: &Settings) -> Result<(StreamSocket, SocketAddr)> {
    let ports = match settings.port {
        Some(port) => port..=port,
        None => settings.port_range_start..=settings.port_range_end,
    };
    let mut first_failure = None;
    for address in look_up(&settings.host, 0)? {
        match listen_at(address, ports.clone()) {
            // A port that is taken at one address of a name stays untouched at the others:
            // clients would find whoever has it.
            Err(error) if error.status() != Status::InUse => first_failure.get_or_insert(error),
            result => return result,
        };
    }
    Err(first_failure.unwrap_or_else(|| Error::new(Status::Io, "The host has no address")))
}

/// Listens on the first port that is free.
fn listen_at(
    mut address: SocketAddr,
    ports: RangeInclusive<u16>,
) -> Result<(StreamSocket, SocketAddr)> {
    for port in ports.clone() {
        address.set_port(port);
        let fail = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied => os_error(
                format!("Cannot listen at {address}: ports below 1024 need privileges"),
                &error,
            ),
            _ => Error::os(Status::Io, format!("Cannot listen at {address}"), &error),
        };
        match sys::listen_tcp(&address) {
            Ok(socket) => {
                let bound = sys::local_address(socket.as_fd()).map_err(fail)?;
                return Ok((socket, bound));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Err(none_free(address.ip(), &ports))
}

fn none_free(ip: IpAddr, ports: &RangeInclusive<u16>) -> Error {
    let (start, end) = (ports.start(), ports.end());
    let text = if start == end {
        format!("Port {start} at {ip} is in use; choose another port, or 0 for any free one")
    } else {
        format!(
            "No port from {start} to {end} is free at {ip}; widen port_range_start and \
             port_range_end, or set port = 0 for any free one"
        )
    };
    Error::os(Status::InUse, text, &io::Error::from_raw_os_error(libc::EADDRINUSE))
}

/// An IPv4 peer of an IPv6 socket, named as an IPv4 peer.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Begins to connect.
pub(super) fn connect(event_name: &str, address: SocketAddr) -> Result<Attempt> {
    match sys::connect_tcp(&address) {
        Ok((socket, true)) => finish(event_name, socket, address).map(Attempt::Connected),
        Ok((socket, false)) => Ok(Attempt::Pending { socket, address }),
        Err(error) => Err(connect_error(event_name, address, &error)),
    }
}

/// What became of an attempt whose socket is writable.
pub(super) fn finish(
    event_name: &str,
    socket: StreamSocket,
    address: SocketAddr,
) -> Result<Connected> {
    let ends = sys::take_error(socket.as_fd())
        .and_then(|()| Ok((sys::local_address(socket.as_fd())?, remote(&socket)?)));
    let (local, remote) = ends.map_err(|error| connect_error(event_name, address, &error))?;
    // Where nobody listens, the kernel may choose the very port that is being connected to as the
    // near end, and TCP then connects the socket to itself.
    if local == remote {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        return Err(connect_error(event_name, address, &refused));
    }
    let remote = canonical(remote);
    let socket = Arc::new(socket);
    Ok(Connected { socket, peer: Peer::Tcp(remote), address: remote.to_string() })
}

fn remote(socket: &StreamSocket) -> io::Result<SocketAddr> {
    sys::remote_address(socket.as_fd()).map_err(|error| match error.raw_os_error() {
        // It was connected, and has ended already.
        Some(libc::ENOTCONN) => io::Error::from_raw_os_error(libc::ECONNRESET),
        _ => error,
    })
}

fn connect_error(event_name: &str, address: SocketAddr, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => {
            absent(event_name, &address.to_string(), error)
        }
        ErrorKind::TimedOut => {
            Error::os(Status::Timeout, format!("No answer from {address}"), error)
        }
        _ => os_error(format!("Cannot connect to {address}"), error),
    }
}
