//! TCP: ports, addresses, and attempts that come to nothing.

use super::*;

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// As many ports, one after the other, as asked for: held by what is returned.
fn neighbours(count: u16) -> (u16, Vec<TcpListener>) {
    for start in (20000..60000).step_by(usize::from(count)) {
        let ports = start..start + count;
        let held: Vec<_> =
            ports.map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
        if held.len() == usize::from(count) {
            return (start, held);
        }
    }
    panic!("no {count} free ports in a row");
}

#[test]
fn a_tcp_server_is_found_by_its_event_or_its_port() {
    let (_root, mut settings) = place();
    settings.port = Some(0);
    let mut listener = bind(Transport::Tcp, &settings).unwrap();
    assert_ne!(listener.port(), 0);
    assert_eq!(listener.address(), format!("127.0.0.1:{}", listener.port()));

    let connected = connect(Transport::Tcp, "e", &settings).unwrap();
    assert_eq!(connected.address, listener.address());
    assert_eq!(connected.peer, Peer::Tcp(listener.address().parse().unwrap()));
    let (_socket, peer) = listener.accept().unwrap().unwrap();
    assert_eq!(peer, Peer::Tcp(sys::local_address(connected.socket.as_fd()).unwrap()));

    let mut fixed = settings.clone();
    (fixed.port, fixed.socket_dir) = (Some(listener.port()), "/nowhere".into());
    connect(Transport::Tcp, "other", &fixed).unwrap();
    listener.withdraw();
    let refused = (Status::Closed, Some(libc::ECONNREFUSED));
    assert_eq!(failure(connect(Transport::Tcp, "e", &fixed)), refused);
    let named = ["'e'", listener.address()];
    assert_fails(connect(Transport::Tcp, "e", &fixed), Status::Closed, &named);
    assert!(names(&settings.socket_dir).is_empty());
    listener.release();
}

#[test]
fn a_port_can_be_had_again_at_once() {
    let (_root, mut settings) = place();
    settings.port = Some(0);
    let mut listener = bind(Transport::Tcp, &settings).unwrap();
    settings.port = Some(listener.port());
    let client = connect(Transport::Tcp, "e", &settings).unwrap();
    // The side that closes first is the one that waits (TIME_WAIT).
    drop(listener.accept().unwrap().unwrap());
    drop(client);
    let childs = listener.socket().try_clone_to_owned().unwrap();
    listener.withdraw();
    let next = bind(Transport::Tcp, &settings).unwrap();
    listener.release();
    connect(Transport::Tcp, "e", &settings).unwrap();
    stop(next);
    drop(childs);
}

#[test]
fn the_first_free_port_of_the_range_is_taken() {
    let (_root, mut settings) = place();
    let (start, mut held) = neighbours(4);
    (settings.port_range_start, settings.port_range_end) = (start, start + 3);
    let named = [start.to_string(), (start + 3).to_string()];
    let named = [&*named[0], &named[1], "port_range_end"];
    assert_fails(bind(Transport::Tcp, &settings), Status::InUse, &named);

    drop(held.remove(2));
    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert_eq!(listener.port(), start + 2);
    assert_fails(bind(Transport::Tcp, &settings), Status::InUse, &named);
    stop(listener);

    settings.port = Some(start);
    assert_fails(bind(Transport::Tcp, &settings), Status::InUse, &[&start.to_string()]);
}

#[test]
fn hosts_that_are_none_of_ours() {
    let (_root, mut settings) = place();
    settings.port = Some(0);
    // For documentation only (RFC 5737), so no host has it.
    settings.host = "192.0.2.1".to_owned();
    let expected = (Status::Io, Some(libc::EADDRNOTAVAIL));
    assert_eq!(failure(bind(Transport::Tcp, &settings)), expected);
    settings.host = "no such host".to_owned();
    assert_fails(bind(Transport::Tcp, &settings), Status::Io, &["'no such host'"]);
}

#[test]
fn names_are_looked_up_only_where_they_count() {
    let (_root, mut settings) = place();
    settings.host = "localhost".to_owned();
    settings.port = Some(0);
    let listener = bind(Transport::Tcp, &settings).unwrap();
    let address: SocketAddr = listener.address().parse().unwrap();
    assert!(address.ip().is_loopback());
    assert!(!Target::new(Transport::Tcp, "e", &settings).needs_lookup());
    assert!(!Target::new(Transport::Unix, "e", &settings).needs_lookup());

    settings.port = Some(listener.port());
    let mut target = Target::new(Transport::Tcp, "e", &settings);
    assert!(target.needs_lookup());
    assert_eq!(target.addresses(), 1);
    assert_fails(target.attempt(0), Status::State, &["localhost"]);
    target.look_up().unwrap();
    assert!(target.needs_lookup());
    let found = (0..target.addresses()).any(|index| match target.attempt(index) {
        Ok(Attempt::Connected(_)) => true,
        Ok(Attempt::Pending { address: tried, .. }) => tried == address,
        _ => false,
    });
    assert!(found);

    settings.host = "127.0.0.1".to_owned();
    assert!(!Target::new(Transport::Tcp, "e", &settings).needs_lookup());
    settings.host = "no such host".to_owned();
    let mut target = Target::new(Transport::Tcp, "e", &settings);
    assert_fails(target.look_up(), Status::Io, &["'no such host'"]);
    // Without a port, the host is not looked at.
    settings.port = None;
    let mut target = Target::new(Transport::Tcp, "e", &settings);
    target.look_up().unwrap();
    assert!(!target.needs_lookup());
    stop(listener);
}

#[test]
fn ipv6_addresses_have_brackets() {
    if !has_ipv6() {
        return;
    }
    let (_root, mut settings) = place();
    settings.port = Some(0);
    settings.host = "::1".to_owned();
    let listener = bind(Transport::Tcp, &settings).unwrap();
    assert_eq!(listener.address(), format!("[::1]:{}", listener.port()));
    let connected = connect(Transport::Tcp, "e", &settings).unwrap();
    assert_eq!(connected.address, listener.address());
    stop(listener);
}

#[test]
fn an_ipv4_peer_of_an_ipv6_server_is_named_as_such() {
    if !has_ipv6() {
        return;
    }
    let (_root, mut settings) = place();
    settings.port = Some(0);
    settings.host = "::".to_owned();
    let listener = bind(Transport::Tcp, &settings).unwrap();
    settings.port = Some(listener.port());
    settings.host = "127.0.0.1".to_owned();
    let connected = connect(Transport::Tcp, "e", &settings).unwrap();
    let (_socket, peer) = listener.accept().unwrap().unwrap();
    let near = sys::local_address(connected.socket.as_fd()).unwrap();
    assert_eq!(peer.to_string(), near.to_string());
    stop(listener);
}

#[test]
fn a_socket_that_connects_to_itself_has_found_no_server() {
    let (_root, mut settings) = place();
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let mut bounds = range.split_whitespace().map(|bound| bound.parse::<u16>().unwrap());
    let (low, high) = (bounds.next().unwrap(), bounds.next().unwrap());
    // Of the parity from which the kernel chooses first for connections, and last for listeners
    // without a port, as other tests have them.
    let free = (low..=high).step_by(2).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    settings.port = free;
    let target = Target::new(Transport::Tcp, "e", &settings);
    // The kernel goes through the ports in order, so that it comes by that one in half of these.
    for _ in low..=high {
        let result = match target.attempt(0) {
            Ok(Attempt::Pending { socket, address }) => target.finish(socket, address).map(drop),
            result => result.map(drop),
        };
        assert_eq!(failure(result), (Status::Closed, Some(libc::ECONNREFUSED)));
    }
}
