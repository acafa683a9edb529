//! XDP features: what an interface's driver says it can do with XDP: generic netlink family `netdev` (Linux 6.3,
//! Documentation/netlink/specs/netdev.yaml). Asks only; attaches nothing.

use std::io;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, Nla, NlasIterator, Parseable, ParseableParametrized,
};
use netlink_packet_generic::{
    GenlFamily, GenlHeader, GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// What the driver says. Absent bits mean "no", an absent answer means that the kernel cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XdpFeatures {
    bits: u64,
}

impl XdpFeatures {
    /// For tests of what follows from them.
    #[cfg(test)]
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self { bits }
    }

    /// `NETDEV_XDP_ACT_BASIC`: native XDP with the actions that counting needs.
    pub fn native(self) -> bool {
        self.bits & 1 != 0
    }

    /// `NETDEV_XDP_ACT_REDIRECT`: frames can be redirected to AF_XDP sockets.
    pub fn redirect(self) -> bool {
        self.bits & 2 != 0
    }

    /// `NETDEV_XDP_ACT_XSK_ZEROCOPY`: AF_XDP without copying.
    pub fn zero_copy(self) -> bool {
        self.bits & 8 != 0
    }

    /// `NETDEV_XDP_ACT_RX_SG`: frames of several buffers.
    pub fn multi_buffer(self) -> bool {
        self.bits & 32 != 0
    }
}

/// `NETDEV_CMD_DEV_GET`.
const DEV_GET: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`, u32.
const IFINDEX: u16 = 1;
/// `NETDEV_A_DEV_XDP_FEATURES`, u64.
const XDP_FEATURES: u16 = 3;

/// A message of the family.
#[derive(Clone, Debug)]
struct Device {
    attributes: Vec<DefaultNla>,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }

    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|nla| DefaultNla::parse(&nla?)).collect::<Result<_, _>>()?;
        Ok(Self { attributes })
    }
}

/// What the driver of the interface says, or `None` where the kernel cannot be asked.
pub(super) fn of(index: u32) -> Option<XdpFeatures> {
    let socket = connect().ok()?;
    let family = family_id(&socket).ok()??;
    let wanted = DefaultNla::new(IFINDEX, index.to_ne_bytes().to_vec());
    let mut message = GenlMessage::from_payload(Device { attributes: vec![wanted] });
    message.set_resolved_family_id(family);
    let answer = ask(&socket, message).ok()??;
    let (_, device) = answer.into_parts();
    let features = device.attributes.iter().find(|attribute| attribute.kind() == XDP_FEATURES)?;
    let mut value = vec![0; features.value_len()];
    features.emit_value(&mut value);
    Some(XdpFeatures { bits: u64::from_ne_bytes(value.try_into().ok()?) })
}

fn connect() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// The number that the kernel gave the family, if it has it.
fn family_id(socket: &Socket) -> io::Result<Option<u16>> {
    let name = GenlCtrlAttrs::FamilyName(Device::family_name().to_owned());
    let message = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] });
    let answer = ask(socket, message)?.map(GenlMessage::into_parts);
    Ok(answer.and_then(|(_, family)| {
        family.nlas.iter().find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        })
    }))
}

/// One question, and its answer; `None` when there was only an acknowledgement.
fn ask<F>(socket: &Socket, message: GenlMessage<F>) -> io::Result<Option<GenlMessage<F>>>
where
    F: GenlFamily + Emitable + Clone + std::fmt::Debug + ParseableParametrized<[u8], GenlHeader>,
    GenlMessage<F>: NetlinkSerializable + NetlinkDeserializable,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = None;
    loop {
        // The answer, and the acknowledgement that ends it, in datagrams of their own (netlink_ack).
        let (received, _) = socket.recv_from_full()?;
        let message = NetlinkMessage::<GenlMessage<F>>::deserialize(&received)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answer = Some(inner),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            _ => return Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_has_no_native_xdp() {
        // Where the kernel cannot be asked there is nothing to say, and nothing is said.
        if let Some(features) = of(1) {
            assert!(!features.native() && !features.zero_copy(), "{features:?}");
        }
        assert_eq!(of(u32::MAX), None, "no such interface");
    }

    #[test]
    fn bits_are_those_of_the_specification() {
        let of = |bits| {
            let features = XdpFeatures { bits };
            [features.native(), features.redirect(), features.zero_copy(), features.multi_buffer()]
        };
        assert_eq!(of(0x23), [true, true, false, true]);
        assert_eq!(of(0x14), [false; 4]);
        assert_eq!(of(0x8), [false, false, true, false]);
    }
}
