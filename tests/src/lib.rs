//! Test kit across rooms: a network of namespaces, the ways a connection can end, the probe as a
//! child process, frames, a reference model of the kernel program, and a generator of line-rate traffic.
//!
//! * [`netns`]: client, middle and server namespace; the probe sits in the middle, like a TAP.
//! * [`scenario`]: how connections end, played on real sockets, and what the probe must say of each.
//! * [`probe`]: the `rstprobe` binary as a child, its snapshot as JSON.
//! * [`session`]: all scenarios under one probe, from attach to clean end.
//! * [`assemble`]: BPF programs of a few instructions, which make frames or drop them.
//! * [`generator`]: an XDP program that makes control segments of many flows at line rate.
//! * [`mixture`]: control and data segments of a million tuples, from every CPU at once.
//! * [`endurance`]: the agent under such a load for as long as asked for: does it lose, grow, or leak?
//! * [`spoof`]: a SYN flood from millions of addresses that do not exist.
//! * [`reference`]: what the kernel program must have recorded of given frames.
//! * [`verdict`]: expected against said.
//! * [`wire`]: what a plain packet socket beside the probe counts.
//! * [`leftover`]: what a probe has in the kernel, and whether it is gone afterwards.
//! * [`oneshot`]: the `rstprobe` binary run to its end.
//! * [`load`]: many short connections, closed in different ways.
//! * [`tcpdump`]: an independent capture of the same traffic, and tshark's counts of it.
//! * [`odd`]: frames that parsers die of.
//! * [`wrapped`]: segments inside other protocols.
//! * [`parity`]: the same frames by each data path and by capture.
//! * [`pcap`]: captures made by tests, and numbers that only look random.
//! * [`pcapng`]: the same in the block format, and a reader of it that is not the program's.
//! * [`conversation`]: TCP conversations from a script, down to the frames.
//! * [`connlog`]: Zeek's conn.log, and how far two of them agree.
//! * [`oracle`]: captures with independent answers.
//! * [`lab`]: every cause from several views, against the kernel's own reasons.
//! * [`zoo`]: real programs in a network of ten milliseconds, what is true of their ends, and what the probe says of it.
//! * [`guest`]: checks inside virtual machines, on kernels and network cards that are not this machine's.
//! * [`fault`]: what goes wrong around a sensor, and what must hold then.
//! * [`both_legs`]: the probe on both legs of a path, and how it ended.
//! * [`reading`]: captures read in process, with what holds of any input.
//! * [`second_reading`]: frames by etherparse, against the shared parser.
//! * [`fuzz`]: what must hold of any bytes.
//! * [`hash_flood`]: flows by somebody who knows the hash and not the seed.
//! * [`bench`]: what it costs, against what it costs others.
//! * [`tier`]: the rule by which privileged tests skip out loud.

pub mod assemble;
pub mod bench;
pub mod both_legs;
pub mod connlog;
pub mod conversation;
pub mod endurance;
pub mod fault;
pub mod frame;
pub mod fuzz;
pub mod generator;
pub mod guest;
pub mod hash_flood;
pub mod lab;
pub mod leftover;
pub mod load;
pub mod mixture;
pub mod netns;
pub mod odd;
pub mod oneshot;
pub mod oracle;
pub mod parity;
pub mod pcap;
pub mod pcapng;
pub mod probe;
pub mod reading;
pub mod reference;
pub mod scenario;
pub mod second_reading;
pub mod session;
pub mod spoof;
pub mod sys;
pub mod tcpdump;
pub mod tier;
pub mod verdict;
pub mod violation;
pub mod wire;
pub mod wrapped;
pub mod zoo;
