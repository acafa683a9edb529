//! Keeps the services of packages that are installed here from being started, now (`policy-rc.d`) and at the next boot.
//!
//! The zoo runs each server with a configuration of its own; what Debian would start with the package is not wanted.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::sh;

/// What Debian's `invoke-rc.d` and `deb-systemd-invoke` ask before they start anything.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// 101: forbidden by policy.
const FORBIDS: &str = "#!/bin/sh\nexit 101\n";
/// Packages with a service, and its name.
const SERVICES: [(&str, &str); 6] = [
    ("haproxy", "haproxy"),
    ("memcached", "memcached"),
    ("nginx-light", "nginx"),
    ("openssh-server", "ssh"),
    ("postgresql", "postgresql"),
    ("redis-server", "redis-server"),
];

/// As long as it lives nothing is started; a policy that was there before stays as it is.
pub(crate) struct Silence {
    is_ours: bool,
}

impl Silence {
    /// Imposes it.
    pub(crate) fn impose() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        let write = || -> io::Result<()> {
            fs::write(POLICY, FORBIDS)?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
        };
        write().with_context(|| format!("cannot write {POLICY}, without which apt-get would start the services"))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            sh::say(format_args!(
                "cannot remove {POLICY}, which forbids to start services: {error}; remove it by hand"
            ));
        }
    }
}

/// Keeps the services of `packages`, which were not here before, from being started at boot.
pub(crate) fn disable(packages: &[String]) {
    if sh::on_path("systemctl").is_none() {
        return;
    }
    for (_, service) in SERVICES.iter().filter(|(package, _)| packages.iter().any(|name| name == package)) {
        let mut command = Command::new("systemctl");
        command.args(["--quiet", "disable", service]).stdout(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => {}
            _ => sh::say(format_args!("setup: could not disable {service}; by hand: systemctl disable {service}")),
        }
    }
}
