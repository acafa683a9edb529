//! Zones file: reads it, and the services file that it names, and makes of them the names for one source.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{RunError, ZonesFileError},
    filter::Filter,
    output,
    plan::LivePlan,
    printable,
    source::Domain,
    zone::{self, Definitions, Observation, Zones},
};

/// Read where `--zones` names no other.
const USUAL: &str = "/etc/rstprobe/zones.toml";
/// Bytes of a file at most.
const LARGEST: u64 = 1 << 20;

/// The names for connections of which so much is known. Says which zones can match none of them.
///
/// # Errors
/// A file cannot be read, or is no zones file.
pub(super) fn load(named: Option<&PathBuf>, observation: Observation<'_>) -> Result<Arc<Zones>, RunError> {
    let usual = Path::new(USUAL);
    let path = match named {
        Some(path) => path.as_path(),
        None if usual.exists() => usual,
        None => return Ok(Arc::new(Zones::new(&Definitions::default(), None, observation))),
    };
    let file = || printable::path(path);
    let refused = |source| RunError::Zones { file: file(), source };
    let text = text_of(path).map_err(|source| refused(ZonesFileError::Read(source)))?;
    let definitions = zone::read(&text).map_err(|source| refused(ZonesFileError::Definition(source)))?;
    let services = definitions.services_file.as_ref().map(|(services, line)| {
        text_of(Path::new(services))
            .map_err(|source| refused(ZonesFileError::Services { line: *line, path: services.clone(), source }))
    });
    for why in definitions.unmatchable(observation) {
        output::say(&format!("rstprobe: {}: {why}", file()));
    }
    Ok(Arc::new(Zones::new(&definitions, services.transpose()?.as_deref(), observation)))
}

/// What is known of connections on interfaces: the VLAN where it is part of their key, and the interface where there is one.
pub(super) fn of_interfaces(plan: &LivePlan) -> Observation<'_> {
    let interface = match &plan.interfaces[..] {
        [one] => Some(one.as_str()),
        _ => None,
    };
    Observation { has_vlans: plan.engine.domain == Domain::Vlan, interface }
}

/// Refuses a filter that asks for a zone or service of a name that none has: it is most often mistyped, and would leave out
/// everything without a word. Zones that cannot match here count as names all the same.
///
/// # Errors
/// The first such name, and what was probably meant.
pub(super) fn check(filter: Option<&Filter>, zones: &Zones) -> Result<(), RunError> {
    for (field, name) in filter.map(Filter::names_asked).unwrap_or_default() {
        let is_service = field == "service";
        let known = if is_service { zones.service_names() } else { zones.zone_names() };
        let is_port =
            is_service && name.get(4..).is_some_and(|port| port.parse::<u16>().is_ok()) && name.starts_with("tcp/");
        if !is_port && !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(RunError::NoSuchName { field, name: name.to_owned(), hint: hint(name, &known, is_service) });
        }
    }
    Ok(())
}

/// The name that was probably meant, or what there is.
fn hint(name: &str, known: &[&str], is_service: bool) -> String {
    let distance = |known: &&&str| strsim::osa_distance(&name.to_ascii_lowercase(), &known.to_ascii_lowercase());
    match known.iter().min_by_key(distance).filter(|known| distance(known) <= name.len() / 3) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if is_service => "name a port (`server.port = 8443`), or the service in a zones file".to_owned(),
        None => format!("there are {}; a zones file (`--zones`) defines others", known.join(", ")),
    }
}

/// The text of a file that is no larger than such a file can be.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {LARGEST} bytes")));
    }
    Ok(text)
}
