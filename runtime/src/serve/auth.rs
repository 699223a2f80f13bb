//! Who may look, and who may command: the same user or root over a unix socket, whoever shows the
//! token over TCP. Knows no request.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

/// Bytes of a token: 256 bits.
const TOKEN_BYTES: usize = 32;

/// Whether a peer of user `peer` may talk to a process of user `own`.
#[cfg(any(unix, test))]
pub(crate) fn may_talk(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// This process's effective user.
#[cfg(unix)]
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Random bytes from the system.
///
/// Errors: the system has no source of them; then there is no token, and no TCP.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    crate::os::random(&mut bytes)?;
    Ok(bytes)
}

/// What a TCP client has to show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    pub(crate) fn new() -> io::Result<Self> {
        let bytes = random::<TOKEN_BYTES>()?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// Writes it into a file that only this user can read.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        write_private(path, self.0.as_bytes())
    }

    /// Whether `header`, the value of `authorization`, shows it. Takes the same time for every
    /// header of the right length.
    pub(crate) fn is_shown(&self, header: &[u8]) -> bool {
        let Some(shown) = header.strip_prefix(b"Bearer ") else {
            return false;
        };
        let own = self.0.as_bytes();
        if shown.len() != own.len() {
            return false;
        }
        let differ = shown.iter().zip(own).fold(0_u8, |differ, (a, b)| {
            std::hint::black_box(differ | (a ^ b))
        });
        differ == 0
    }
}

/// What is to be shown over TCP: one token to look, another to command as well.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) observe: Token,
    pub(crate) control: Token,
}

impl Tokens {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            observe: Token::new()?,
            control: Token::new()?,
        })
    }

    /// What the one who shows `header` may do; `None`: nothing. Compares with both, whichever fits.
    pub(crate) fn role(&self, header: &[u8]) -> Option<Role> {
        let (observes, controls) = (self.observe.is_shown(header), self.control.is_shown(header));
        match (controls, observes) {
            (true, _) => Some(Role::Control),
            (_, true) => Some(Role::Observe),
            _ => None,
        }
    }

    /// Where the token of the role control lies, beside the one to look with.
    pub(crate) fn control_beside(observe: &Path) -> std::path::PathBuf {
        observe.with_extension("control-token")
    }
}

/// Makes a file that only this user can read; one that is there is replaced.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    let mut file = match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)?
        }
        file => file?,
    };
    file.write_all(bytes)
}

/// Whether the inspector may listen on that TCP address.
///
/// Errors: a sentence that says why not and what to do.
pub(crate) fn may_listen(address: SocketAddr) -> Result<(), String> {
    let ip = match address.ip() {
        std::net::IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address.ip(), Into::into),
        v4 => v4,
    };
    if ip.is_loopback() {
        return Ok(());
    }
    Err(format!(
        "the inspector does not listen on {address}: other machines could reach it, and TLS is not \
         built yet. Listen on 127.0.0.1 and forward the port, or use `connect --via 'ssh HOST \
         loop-console relay APP'`"
    ))
}

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Role {
    Observe = 1,
    Control = 2,
}

impl Role {
    pub(crate) fn from_raw(raw: u8) -> Self {
        match raw {
            2 => Role::Control,
            _ => Role::Observe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_user_and_root_may_talk_and_nobody_else() {
        assert!(may_talk(1000, 1000));
        assert!(may_talk(0, 1000));
        assert!(!may_talk(1001, 1000));
        assert!(!may_talk(1000, 0), "root's process is not everybody's");
    }

    #[test]
    fn only_the_whole_token_is_the_token_and_it_prints_nowhere() {
        let token = Token::new().unwrap();
        let right = format!("Bearer {}", token.0);
        assert_eq!(token.0.len(), 64);
        assert!(token.is_shown(right.as_bytes()));
        assert!(!token.is_shown(token.0.as_bytes()));
        assert!(!token.is_shown(&right.as_bytes()[..right.len() - 1]));
        let mut wrong = right.into_bytes();
        *wrong.last_mut().unwrap() ^= 1;
        assert!(!token.is_shown(&wrong));
        assert!(!format!("{token:?}").contains(&token.0));
        assert_ne!(token, Token::new().unwrap());
    }

    #[test]
    fn each_token_has_its_own_role_and_no_other_has_any() {
        let tokens = Tokens::new().unwrap();
        let shown = |token: &Token| format!("Bearer {}", token.0).into_bytes();
        assert_eq!(tokens.role(&shown(&tokens.observe)), Some(Role::Observe));
        assert_eq!(tokens.role(&shown(&tokens.control)), Some(Role::Control));
        assert_eq!(tokens.role(&shown(&Token::new().unwrap())), None);
        assert_eq!(tokens.role(b""), None);
        assert_ne!(
            Tokens::control_beside(Path::new("/d/7-1.token")),
            Path::new("/d/7-1.token")
        );
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for address in [
            "127.0.0.1:0",
            "127.9.9.9:1",
            "[::1]:80",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(may_listen(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in [
            "0.0.0.0:1",
            "[::]:1",
            "192.168.1.4:1",
            "[::ffff:0.0.0.0]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            let refused = may_listen(address.parse().unwrap()).unwrap_err();
            assert!(refused.contains(address), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_private_and_replaces_another() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("private-{}", std::process::id()));
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }
}
