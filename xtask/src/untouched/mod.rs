//! Packets are left alone: no program writes to one, hands it to a helper that does, or returns anything but what was asked for.
//!
//! Follows every path of every program and of the functions that it calls (RFC 9669), with everything that each register and
//! stack slot may hold ([`value`]). A store must go to the stack, a map or a ring buffer on every path: one that may go to the
//! packet, to the context, or to what is not known, is a finding. So is a helper that is not known to leave packets alone
//! ([`helpers`]), and a return value that may be another than the global `ACTION` or XDP_PASS; of a classifier, than
//! TC_ACT_UNSPEC.
//!
//! Programs that hand frames to sockets may stamp the metadata in front of a frame, and may return XDP_REDIRECT.
//!
//! Branches are not weighed: what the verifier knows to be impossible may still be a finding here, never the other way round,
//! as long as the verifier takes the program.

mod function;
mod helpers;
mod state;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::Function;
use value::{CALLERS, CONTEXT, NUMBER, Origin, STACK, Value};

/// The global that the loader sets to XDP_PASS, or to XDP_DROP where that is asked for.
const ACTION: &str = "ACTION";
/// What the names of programs begin with that hand frames to sockets.
const REDIRECTS: &str = "rstprobe_redirect";
const XDP_PASS: i64 = 2;
const XDP_REDIRECT: i64 = 4;
const TC_ACT_UNSPEC: i64 = -1;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) programs: usize,
    /// Stores that were followed, functions that several programs call counted for each.
    pub(crate) stores: usize,
    /// Loads from packets: function and instruction.
    pub(crate) loads: BTreeSet<(String, usize)>,
    pub(crate) findings: Vec<String>,
}

/// Whether a store would be found that stands in the place of a load from a packet: the first in each function. Returns how
/// many were tried.
///
/// # Errors
/// The load of which the store was not found.
pub(crate) fn try_stores(functions: &[Function<'_>], loads: &BTreeSet<(String, usize)>) -> Result<usize, String> {
    let mut tried = BTreeSet::new();
    for (name, at) in loads {
        if !tried.insert(name) {
            continue;
        }
        let Some(function) = functions.iter().find(|function| function.name == *name) else { continue };
        let mut code = function.code.to_vec();
        // The same size and place, the other way: class and registers change.
        code[at * 8] = code[at * 8] & !7 | 3;
        code[at * 8 + 1] = code[at * 8 + 1].rotate_left(4);
        let changed = functions.iter().map(|one| Function {
            name: one.name.clone(),
            section: one.section.clone(),
            code: if one.name == *name { &code } else { one.code },
            relocations: one.relocations.clone(),
        });
        let changed: Vec<Function<'_>> = changed.collect();
        let expected = format!("instruction {at} may write to the packet");
        let is_it = |finding: &String| finding.starts_with(name) && finding.ends_with(&expected);
        // In whichever program calls it.
        if !programs(&changed).any(|(program, kind)| findings(program, kind, &changed).iter().any(is_it)) {
            return Err(format!("{name}: a store to the packet in the place of instruction {at} is not found"));
        }
    }
    Ok(tried.len())
}

fn programs<'a>(functions: &'a [Function<'a>]) -> impl Iterator<Item = (&'a Function<'a>, Kind)> {
    functions.iter().filter_map(|function| Some((function, Kind::of(&function.section)?)))
}

fn findings<'a>(program: &'a Function<'a>, kind: Kind, functions: &'a [Function<'a>]) -> BTreeSet<String> {
    let mut program = Program::new(program, kind, functions);
    program.follow();
    program.findings
}

/// What kind of program it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Xdp,
    Classifier,
    Tracepoint,
}

impl Kind {
    fn of(section: &str) -> Option<Self> {
        match section {
            "xdp" | "xdp.frags" => Some(Self::Xdp),
            "classifier" => Some(Self::Classifier),
            other => other.starts_with("tracepoint/").then_some(Self::Tracepoint),
        }
    }
}

/// One program with everything that it calls.
struct Program<'a> {
    name: &'a str,
    kind: Kind,
    functions: BTreeMap<&'a str, &'a Function<'a>>,
    /// With what each function is called, and what it returns, over all calls.
    arguments: BTreeMap<&'a str, [Value; 5]>,
    returns: BTreeMap<&'a str, Value>,
    /// Kinds of what lies in stacks that other functions may read, and of what those may write there.
    shared: u8,
    escaped: u8,
    stores: BTreeSet<(&'a str, usize)>,
    loads: BTreeSet<(&'a str, usize)>,
    findings: BTreeSet<String>,
    /// Everything is known: what is found now is said.
    is_telling: bool,
}

/// Looks at every program of an object.
pub(crate) fn check(functions: &[Function<'_>]) -> Account {
    let mut account = Account::default();
    for program in functions.iter().filter(|function| function.section != ".text") {
        account.programs += 1;
        let Some(kind) = Kind::of(&program.section) else {
            account.findings.push(format!("{}: section {} is of no kind that is known", program.name, program.section));
            continue;
        };
        let mut program = Program::new(program, kind, functions);
        program.follow();
        account.stores += program.stores.len();
        account.loads.extend(program.loads.iter().map(|(name, at)| ((*name).to_owned(), *at)));
        account.findings.extend(program.findings);
    }
    account
}

impl<'a> Program<'a> {
    fn new(program: &'a Function<'a>, kind: Kind, functions: &'a [Function<'a>]) -> Self {
        let mut arguments: [Value; 5] = Default::default();
        arguments[0] = Value::pointer(CONTEXT);
        let called = functions.iter().filter(|function| function.section == ".text");
        Self {
            name: &program.name,
            kind,
            functions: called.chain([program]).map(|function| (&*function.name, function)).collect(),
            arguments: [(&*program.name, arguments)].into(),
            returns: BTreeMap::new(),
            shared: 0,
            escaped: 0,
            stores: BTreeSet::new(),
            loads: BTreeSet::new(),
            findings: BTreeSet::new(),
            is_telling: false,
        }
    }

    /// Until nothing more is learnt of any function; then looks at what each instruction may do.
    fn follow(&mut self) {
        loop {
            let before = (self.arguments.clone(), self.returns.clone(), self.shared, self.escaped);
            for name in before.0.keys() {
                self.states(name);
            }
            if before == (self.arguments.clone(), self.returns.clone(), self.shared, self.escaped) {
                break;
            }
        }
        // What is known before the end is a part: a pointer that is not known yet is no finding.
        for name in self.arguments.clone().keys() {
            let states = self.states(name);
            self.is_telling = true;
            self.look(name, states);
            self.is_telling = false;
        }
    }

    fn redirects(&self) -> bool {
        self.name.starts_with(REDIRECTS)
    }

    fn find(&mut self, function: &str, at: usize, what: &str) {
        if !self.is_telling {
            return;
        }
        let through = if function == self.name { String::new() } else { format!(" (called by {})", self.name) };
        self.findings.insert(format!("{function}{through}: instruction {at} {what}"));
    }

    /// A call of one of our own functions: what it returns.
    fn call(&mut self, name: &str, given: &[Value]) -> Option<Value> {
        let (name, _) = self.functions.get_key_value(name)?;
        let arguments = self.arguments.entry(name).or_default();
        for (known, given) in arguments.iter_mut().zip(given) {
            let kinds = given.kinds & !STACK | if given.has(STACK) { CALLERS } else { 0 };
            let given = Value { kinds, offset: given.offset.filter(|_| !given.has(STACK)), ..given.clone() };
            *known = known.or(&given);
        }
        Some(self.returns.get(name).cloned().unwrap_or_default())
    }

    /// The end of a function: a program's value is what becomes of the frame.
    fn end(&mut self, function: &'a Function<'a>, at: usize, value: &Value) {
        let known = self.returns.entry(&function.name).or_default();
        *known = known.or(value);
        if function.name != self.name || self.kind == Kind::Tracepoint {
            return;
        }
        let is_right = |origin: &Origin| match (self.kind, origin) {
            (Kind::Xdp, Origin::Global(name)) => **name == *ACTION,
            (Kind::Xdp, Origin::Redirect | Origin::Constant(XDP_REDIRECT)) => self.redirects(),
            (Kind::Xdp, Origin::Constant(value)) => *value == XDP_PASS,
            (Kind::Classifier, Origin::Constant(value)) => *value as i32 == TC_ACT_UNSPEC as i32,
            _ => false,
        };
        let is_known = value.kinds == NUMBER && value.origins.as_ref().is_some_and(|all| all.iter().all(is_right));
        if !is_known {
            let what = match &value.origins {
                Some(origins) => format!("may return {origins:?}"),
                None => "returns what is not known".to_owned(),
            };
            self.find(&function.name, at, &what);
        }
    }
}
