//! Loopback addresses for one environment, so that many run side by side on the product's fixed ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Two addresses nobody else on this machine uses while this value lives.
///
/// The lease is an abstract socket name: the kernel takes it back when its owner dies, however it dies.
#[derive(Debug)]
pub struct AddressPair {
    /// Where the simulators listen.
    pub world: IpAddr,
    /// Where the hub listens.
    pub hub: IpAddr,
    _lease: Option<UnixListener>,
}

/// The ports an edgeHub and its world use; a pair of addresses must have them free.
const PORTS: [u16; 4] = [8883, 5671, 8443, 9600];

impl AddressPair {
    /// Leases a free pair from 127.77.0.0/16.
    ///
    /// # Errors
    /// When none of 200 pairs is free.
    pub fn lease() -> io::Result<Self> {
        let start = std::process::id();
        for step in 0..200 {
            let number = (start.wrapping_mul(31).wrapping_add(step)) % 32_000;
            let (high, low) = ((number / 125) as u8, (number % 125 * 2 + 2) as u8);
            let Ok(lease) = hold(&format!("edgecert-127.77.{high}.{low}")) else {
                continue;
            };
            let world = IpAddr::V4(Ipv4Addr::new(127, 77, high, low));
            let hub = IpAddr::V4(Ipv4Addr::new(127, 77, high, low + 1));
            let free = |address: IpAddr| PORTS.iter().all(|port| TcpListener::bind((address, *port)).is_ok());
            if free(world) && free(hub) {
                return Ok(Self { world, hub, _lease: Some(lease) });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "no free pair of addresses in 127.77.0.0/16: ports 8883, 5671, 8443 and 9600 are taken on every pair tried; \
             end other runs of edgecert, or name addresses with --world-address and --hub-address",
        ))
    }

    /// This pair with one or the other address replaced by the operator's choice.
    pub fn overridden(self, world: Option<IpAddr>, hub: Option<IpAddr>) -> Self {
        Self { world: world.unwrap_or(self.world), hub: hub.unwrap_or(self.hub), ..self }
    }

    /// A pair the operator chose. Whether its ports are free shows when something listens there.
    pub fn chosen(world: IpAddr, hub: IpAddr) -> Self {
        Self { world, hub, _lease: None }
    }
}

/// Holds a name on this machine until the listener is dropped or the process dies.
pub(super) fn hold(name: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}
