//! `ebpf`: what each program of the BPF object costs, and whether that is within the budget.
//!
//! The budget (`probe-ebpf/budget.json`) holds the costs that were accepted; growth of more than 10 % has to be accepted
//! again, in the diff. Calls of anything but helpers and our own functions of global linkage ([`GLOBAL`]), which the
//! verifier checks once and by themselves, are never accepted: they are loops that the compiler put in (`memset` and the
//! like), or functions that were not inlined. Nor is a program that may change a packet ([`untouched`]).

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    bpf::{self, Cost},
    elf,
    object::{self, Variant},
    sh,
    toolchain::Toolchain,
    untouched,
    workspace::Workspace,
};

/// The kernel's limit.
const STACK_LIMIT: u64 = 512;
/// What a cost may grow by without being accepted again.
const GROWTH_PERCENT: u64 = 10;
const BUDGET: &str = "probe-ebpf/budget.json";
/// What the names of programs and of functions of global linkage begin with.
const GLOBAL: &str = "rstprobe_";

/// What was accepted of one program.
#[derive(Serialize, Deserialize)]
struct Accepted {
    instructions: u64,
    stack: u64,
}

type Costs = BTreeMap<String, Cost>;

/// The budget file.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// Instructions that verifiers processed, by line of kernels, then by program and variant; `vm` writes and checks it.
    #[serde(default)]
    pub(crate) verified: BTreeMap<String, BTreeMap<String, u64>>,
    /// By program.
    #[serde(flatten)]
    programs: BTreeMap<String, Accepted>,
}

/// The subcommand.
pub(crate) fn ebpf(workspace: &Workspace, disassemble: bool, accept: bool) -> Result<()> {
    let toolchain = object::build_object(workspace, Variant::Plain)?;
    let object = Variant::Plain.object(workspace);
    let file = fs::read(&object)?;
    let costs = costs(&file)?;
    sh::tell(format_args!("{} bytes, {} programs", file.len(), costs.len()))?;
    for (name, cost) in &costs {
        sh::tell(format_args!("{name:<24} {:>6} instructions {:>4} bytes of stack", cost.instructions, cost.stack))?;
    }
    if disassemble {
        sh::run(&mut disassembly(&toolchain, &object)?)?;
    }
    let path = workspace.root().join(BUDGET);
    let mut broken = forbidden(&costs);
    broken.extend(written(&file)?);
    if accept {
        let mut budget = read_budget(workspace)?;
        budget.programs = accepted(&costs);
        write_budget(workspace, &budget)?;
    } else if path.exists() {
        broken.extend(over(&costs, &read_budget(workspace)?.programs));
    } else {
        sh::say(format_args!("no {BUDGET}, so no budget to hold: `cargo xtask ebpf --accept` writes it"));
    }
    if !broken.is_empty() {
        bail!("the BPF object is not fit to ship:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// Where programs may change packets, or what becomes of them.
fn written(file: &[u8]) -> Result<Vec<String>> {
    let functions = elf::functions(file).context("reading the BPF object")?;
    let account = untouched::check(&functions);
    let (programs, stores, findings) = (account.programs, account.stores, &account.findings);
    sh::tell(format_args!(
        "{stores} stores of {programs} programs followed: {} may change a packet or what becomes of it",
        if findings.is_empty() { "none".to_owned() } else { findings.len().to_string() }
    ))?;
    // Where it sees nothing, it finds nothing.
    let tried = untouched::try_stores(&functions, &account.loads).map_err(anyhow::Error::msg)?;
    if stores == 0 || tried == 0 {
        bail!("no store, or no load from a packet, was found in any program: the check sees nothing");
    }
    sh::tell(format_args!(
        "{} loads from packets; in the place of {tried} of them a store was put, and each was found",
        account.loads.len()
    ))?;
    Ok(account.findings)
}

/// What bpf-linker adds in `.text` counts only where it is called, and no program may do that; our own functions are there,
/// too.
fn costs(file: &[u8]) -> Result<Costs> {
    let functions = elf::functions(file).context("reading the BPF object")?;
    let programs = functions.iter().filter(|f| f.section != ".text" || f.name.starts_with(GLOBAL));
    let costs: Costs = programs.map(|f| (f.name.clone(), bpf::cost(f))).collect();
    if costs.is_empty() {
        bail!("the BPF object has no program");
    }
    Ok(costs)
}

fn disassembly(toolchain: &Toolchain, object: &Path) -> Result<Command> {
    let mut command = Command::new(toolchain.objdump()?);
    command.args(["--disassemble", "--source", "--reloc", "--no-show-raw-insn"]).arg(object);
    Ok(command)
}

fn forbidden(costs: &Costs) -> Vec<String> {
    let mut found = Vec::new();
    for (name, cost) in costs {
        let calls = cost.calls.iter().filter(|(_, called)| !called.starts_with(GLOBAL));
        found.extend(calls.map(|(at, called)| format!("{name}: instruction {at} calls {called}, which is no helper")));
        if cost.stack > STACK_LIMIT {
            found.push(format!("{name}: {} bytes of stack, the kernel allows {STACK_LIMIT}", cost.stack));
        }
    }
    found
}

fn over(costs: &Costs, budget: &BTreeMap<String, Accepted>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, cost) in costs {
        let Some(accepted) = budget.get(name) else {
            found.push(format!("{name}: not in {BUDGET}"));
            continue;
        };
        let pairs = [
            ("instructions", cost.instructions, accepted.instructions),
            ("bytes of stack", cost.stack, accepted.stack),
        ];
        for (what, now, before) in pairs {
            if now * 100 > before * (100 + GROWTH_PERCENT) {
                found.push(format!("{name}: {now} {what}, more than {GROWTH_PERCENT} % above the {before} accepted"));
            }
        }
    }
    found.extend(budget.keys().filter(|n| !costs.contains_key(*n)).map(|n| format!("{n}: in {BUDGET}, not built")));
    if !found.is_empty() {
        found.push("if that is meant: `cargo xtask ebpf --accept`".to_owned());
    }
    found
}

fn accepted(costs: &Costs) -> BTreeMap<String, Accepted> {
    let accepted = |cost: &Cost| Accepted { instructions: cost.instructions, stack: cost.stack };
    costs.iter().map(|(name, cost)| (name.clone(), accepted(cost))).collect()
}

/// The budget file as it is; an empty budget without one.
pub(crate) fn read_budget(workspace: &Workspace) -> Result<Budget> {
    match fs::read_to_string(workspace.root().join(BUDGET)) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("reading {BUDGET}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Budget::default()),
        Err(error) => Err(error).with_context(|| format!("reading {BUDGET}")),
    }
}

/// Writes the budget file.
pub(crate) fn write_budget(workspace: &Workspace, budget: &Budget) -> Result<()> {
    let text = serde_json::to_string_pretty(budget)? + "\n";
    fs::write(workspace.root().join(BUDGET), text).with_context(|| format!("writing {BUDGET}"))?;
    sh::say(format_args!("accepted: {BUDGET}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(instructions: u64, stack: u64) -> Costs {
        [("xdp".to_owned(), Cost { instructions, stack, calls: Vec::new() })].into()
    }

    fn budget(instructions: u64, stack: u64) -> BTreeMap<String, Accepted> {
        [("xdp".to_owned(), Accepted { instructions, stack })].into()
    }

    #[test]
    fn ten_percent_are_allowed() {
        assert!(over(&costs(110, 80), &budget(100, 80)).is_empty());
        assert_eq!(over(&costs(111, 80), &budget(100, 80)).len(), 2);
        assert_eq!(over(&costs(50, 89), &budget(100, 80)).len(), 2);
    }

    #[test]
    fn programs_and_budget_name_the_same() {
        assert!(over(&costs(1, 1), &BTreeMap::new())[0].contains("not in"));
        assert!(over(&Costs::new(), &budget(1, 1))[0].contains("not built"));
    }

    #[test]
    fn a_budget_without_verifiers_is_read() {
        let budget: Budget = serde_json::from_str(r#"{"xdp": {"instructions": 1, "stack": 2}}"#).unwrap();
        assert!(budget.verified.is_empty() && budget.programs["xdp"].stack == 2);
    }

    #[test]
    fn functions_of_our_own_may_be_called() {
        let mut costs = costs(10, 100);
        costs.get_mut("xdp").unwrap().calls.push((7, "rstprobe_account".to_owned()));
        assert!(forbidden(&costs).is_empty());
    }

    #[test]
    fn calls_and_a_deep_stack_are_forbidden() {
        let mut costs = costs(10, 520);
        costs.get_mut("xdp").unwrap().calls.push((7, "memset".to_owned()));
        let found = forbidden(&costs);
        assert!(found[0].contains("instruction 7 calls memset"), "{found:?}");
        assert!(found[1].contains("512"), "{found:?}");
    }
}
