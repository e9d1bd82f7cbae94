//! Argon2 in its three types, as PHC string and with Django's prefix.

use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};

use super::{
    HashError,
    encoding::{base64, number},
    recipe::{Arena, Recipe, Rounds, Work, within},
};
use crate::config::HashCeilings;

/// Salts below this are refused by every Argon2 implementation (RFC 9106 §3.1 recommends 16).
const SHORTEST_SALT: usize = 8;

pub(super) struct Argon2Work {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) memory_kib: u64,
    pub(super) passes: u64,
    pub(super) lanes: u64,
    pub(super) salt: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Argon2Work {
    fn instance(&self, passes: u64, length: usize) -> Result<Argon2<'static>, HashError> {
        let narrow = |value: u64| u32::try_from(value).map_err(|_| HashError::Range);
        let params = ParamsBuilder::new()
            .m_cost(narrow(self.memory_kib)?)
            .t_cost(narrow(passes)?)
            .p_cost(narrow(self.lanes)?)
            .data(AssociatedData::new(&self.data).map_err(|_| HashError::Range)?)
            .output_len(length)
            .build()
            .map_err(|_| HashError::Range)?;
        Ok(Argon2::new(self.algorithm, self.version, params))
    }

    fn fill(
        &self,
        passes: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<Vec<u8>, HashError> {
        let instance = self.instance(passes, length)?;
        let blocks = instance.params().block_count();
        if arena.argon2.len() < blocks {
            arena.argon2.resize(blocks, Block::new());
        }
        let memory = arena.argon2.get_mut(..blocks).ok_or(HashError::Range)?;
        let mut found = vec![0; length];
        instance
            .hash_password_into_with_memory(password, &self.salt, &mut found, memory)
            .map_err(|_| HashError::Range)?;
        Ok(found)
    }
}

impl Work for Argon2Work {
    fn check(&self, ceilings: &HashCeilings, length: usize) -> Result<(), HashError> {
        let lanes_fit = (1..1 << 24).contains(&self.lanes) && self.memory_kib >= 8 * self.lanes;
        if !lanes_fit || self.salt.len() < SHORTEST_SALT {
            return Err(HashError::Range);
        }
        within(self.passes, u64::from(ceilings.argon2_passes))?;
        within(self.memory_kib, ceilings.argon2_memory_bytes / 1024)?;
        self.instance(self.passes, length).map(|_| ())
    }

    fn derive(&self, password: &[u8], length: usize, arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        self.fill(self.passes, password, length, arena)
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("memory_kib", self.memory_kib), ("passes", self.passes), ("lanes", self.lanes)]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        let parameters = vec![u64::from(u32::from(self.version)), self.memory_kib, self.lanes];
        Rounds { function: "argon2", of: self.algorithm.as_str(), parameters, count: self.passes }
    }

    fn work_off(
        &self,
        count: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        self.fill(count, password, length, arena).map(drop)
    }
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. Without `v=` it is the first published version, 16.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$argon2").ok_or(HashError::Syntax)?;
    let (kind, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
    let algorithm = algorithm(kind)?;
    let (version, rest) = match rest.strip_prefix("v=") {
        None => (Version::V0x10, rest),
        Some(rest) => {
            let (version, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
            match number(version)? {
                16 => (Version::V0x10, rest),
                19 => (Version::V0x13, rest),
                _ => return Err(HashError::Unsupported),
            }
        }
    };
    let [params, salt, hash] = super::parts(rest)?;
    let [memory_kib, passes, lanes, data] = read_params(params)?;
    let work = Argon2Work {
        algorithm,
        version,
        memory_kib: number(memory_kib.ok_or(HashError::Syntax)?)?,
        passes: number(passes.ok_or(HashError::Syntax)?)?,
        lanes: number(lanes.ok_or(HashError::Syntax)?)?,
        salt: base64(salt)?,
        data: base64(data.unwrap_or_default())?,
    };
    Ok(Recipe::new(work, base64(hash)?))
}

/// `d`, `i` or `id`.
pub(super) fn algorithm(kind: &str) -> Result<Algorithm, HashError> {
    match kind {
        "d" => Ok(Algorithm::Argon2d),
        "i" => Ok(Algorithm::Argon2i),
        "id" => Ok(Algorithm::Argon2id),
        _ => Err(HashError::Unsupported),
    }
}

/// The values of m, t, p and data, each at most once.
fn read_params(params: &str) -> Result<[Option<&str>; 4], HashError> {
    let mut values = [None; 4];
    for param in params.split(',') {
        let (name, value) = param.split_once('=').ok_or(HashError::Syntax)?;
        let place = match name {
            "m" => 0,
            "t" => 1,
            "p" => 2,
            "data" => 3,
            // A secret key was used, and we do not have it.
            "keyid" => return Err(HashError::Unsupported),
            _ => return Err(HashError::Syntax),
        };
        let slot = values.get_mut(place).ok_or(HashError::Syntax)?;
        if slot.replace(value).is_some() {
            return Err(HashError::Syntax);
        }
    }
    Ok(values)
}

/// Django: `argon2` and then a whole PHC string.
pub(super) fn django(text: &str) -> Result<Recipe, HashError> {
    parse(text.strip_prefix("argon2").ok_or(HashError::Syntax)?)
}
