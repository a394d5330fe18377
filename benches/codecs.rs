//! Measures XPRESS and LZX decoding on one core, as a ratio to wimlib's decoders on the same chunks in the same run.
//!
//! `cargo bench --bench codecs [-- FILE…]`: decodes this program itself, made-up words, or the first 16 MiB of each file.
//! wimlib (libwim15) compresses the chunks; without it nothing is measured. Both decoders alternate on pieces of the
//! data, and the fastest run of each counts.

use std::{env, fs, hint::black_box};

use input::{MAX_INPUT, arguments, each_file, seconds, words};
use vhdmount::codec::{lzx, xpress};
use wimlib::{Compressor, Decompressor, LZX, XPRESS};

mod input;

/// Bytes of content decoded at once.
const PIECE: usize = 512 << 10;
const ROUNDS: u32 = 25;

type Decode = fn(&[u8], &mut [u8]) -> vhdmount::Result<()>;

fn main() {
    let Some(library) = wimlib::Library::load() else {
        println!("SKIPPED: libwim.so.15 cannot be loaded");
        return;
    };
    let files = arguments();
    if files.is_empty() {
        measure_all(&library, "words", &words(MAX_INPUT));
        let program = env::current_exe().and_then(fs::read).expect("this program");
        measure_all(&library, "program", &program[..program.len().min(MAX_INPUT)]);
    }
    each_file(&files, |name, data| measure_all(&library, name, data));
}

fn measure_all(library: &wimlib::Library, name: &str, data: &[u8]) {
    for (format, method, chunk, decode) in [
        ("XPRESS4K", XPRESS, 4 << 10, xpress::decode as Decode),
        ("XPRESS8K", XPRESS, 8 << 10, xpress::decode),
        ("XPRESS16K", XPRESS, 16 << 10, xpress::decode),
        ("LZX32K", LZX, 32 << 10, lzx::decode),
    ] {
        let compressor = library.compressor(method, chunk);
        let chunks: Vec<(&[u8], Vec<u8>)> =
            data.chunks(chunk).filter_map(|chunk| Some((chunk, compressor.compress(chunk)?))).collect();
        let decompressor = library.decompressor(method, chunk);
        measure(&format!("{name}, {format}"), &chunks, chunk, decode, &decompressor);
        drop::<Compressor<'_>>(compressor);
    }
}

fn measure(name: &str, chunks: &[(&[u8], Vec<u8>)], size: usize, decode: Decode, theirs: &Decompressor<'_>) {
    let plain: usize = chunks.iter().map(|(plain, _)| plain.len()).sum();
    let packed: usize = chunks.iter().map(|(_, packed)| packed.len()).sum();
    let mut out = vec![0; size];
    for (plain, packed) in chunks {
        decode(packed, &mut out[..plain.len()]).expect("made by wimlib");
        assert!(&out[..plain.len()] == *plain, "{name}: decoded wrongly");
    }
    // Timed in short pieces, each at its fastest: other load on the machine disturbs few of them.
    let (mut ours, mut other) = (0.0, 0.0);
    for chunks in chunks.chunks((PIECE / size).max(1)) {
        let (mut fastest, mut their_fastest) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            fastest = fastest.min(seconds(|| {
                for (plain, packed) in chunks {
                    decode(packed, &mut out[..plain.len()]).expect("did so before");
                    black_box(&out);
                }
            }));
            their_fastest = their_fastest.min(seconds(|| {
                for (plain, packed) in chunks {
                    theirs.decompress(packed, &mut out[..plain.len()]);
                    black_box(&out);
                }
            }));
        }
        ours += fastest;
        other += their_fastest;
    }
    let rate = |seconds: f64| plain as f64 / 1e6 / seconds;
    println!(
        "{name}: {plain} bytes, ratio {:.2}: {:.0} MB/s, wimlib {:.0} MB/s, {:.2} times wimlib",
        packed as f64 / plain as f64,
        rate(ours),
        rate(other),
        other / ours
    );
}

/// wimlib's compression functions, loaded at run time: the benchmark must also build where the library is missing.
mod wimlib {
    use std::{
        ffi::{CStr, c_char, c_int, c_uint, c_void},
        ptr,
    };

    pub(super) const XPRESS: c_int = 1;
    pub(super) const LZX: c_int = 2;
    const RTLD_NOW: c_int = 2;

    unsafe extern "C" {
        fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    type Create = unsafe extern "C" fn(c_int, usize, c_uint, *mut *mut c_void) -> c_int;
    type Compress = unsafe extern "C" fn(*const c_void, usize, *mut c_void, usize, *mut c_void) -> usize;
    type CreateDecompressor = unsafe extern "C" fn(c_int, usize, *mut *mut c_void) -> c_int;
    type Decompress = unsafe extern "C" fn(*const c_void, usize, *mut c_void, usize, *mut c_void) -> c_int;
    type Free = unsafe extern "C" fn(*mut c_void);

    pub(super) struct Library {
        create_compressor: Create,
        compress: Compress,
        free_compressor: Free,
        create_decompressor: CreateDecompressor,
        decompress: Decompress,
        free_decompressor: Free,
    }

    impl Library {
        pub(super) fn load() -> Option<Self> {
            // SAFETY: both arguments are what dlopen expects; libwim's constructors have no requirements.
            let library = unsafe { dlopen(c"libwim.so.15".as_ptr(), RTLD_NOW) };
            let symbol = |name: &CStr| {
                // SAFETY: the handle is valid (checked below before the first use) and the name ends in NUL.
                let symbol = unsafe { dlsym(library, name.as_ptr()) };
                (!symbol.is_null()).then_some(symbol)
            };
            if library.is_null() {
                return None;
            }
            // SAFETY: the functions have the types that wimlib.h of this major version (the 15 of its name) declares.
            unsafe {
                Some(Self {
                    create_compressor: std::mem::transmute::<*mut c_void, Create>(symbol(
                        c"wimlib_create_compressor",
                    )?),
                    compress: std::mem::transmute::<*mut c_void, Compress>(symbol(c"wimlib_compress")?),
                    free_compressor: std::mem::transmute::<*mut c_void, Free>(symbol(
                        c"wimlib_free_compressor",
                    )?),
                    create_decompressor: std::mem::transmute::<*mut c_void, CreateDecompressor>(symbol(
                        c"wimlib_create_decompressor",
                    )?),
                    decompress: std::mem::transmute::<*mut c_void, Decompress>(symbol(c"wimlib_decompress")?),
                    free_decompressor: std::mem::transmute::<*mut c_void, Free>(symbol(
                        c"wimlib_free_decompressor",
                    )?),
                })
            }
        }

        pub(super) fn compressor(&self, method: c_int, chunk: usize) -> Compressor<'_> {
            let mut state = ptr::null_mut();
            // SAFETY: `state` is written before the function returns 0. Level 0: the default one.
            let result = unsafe { (self.create_compressor)(method, chunk, 0, &mut state) };
            assert_eq!(result, 0, "wimlib_create_compressor");
            Compressor { library: self, state }
        }

        pub(super) fn decompressor(&self, method: c_int, chunk: usize) -> Decompressor<'_> {
            let mut state = ptr::null_mut();
            // SAFETY: as above.
            let result = unsafe { (self.create_decompressor)(method, chunk, &mut state) };
            assert_eq!(result, 0, "wimlib_create_decompressor");
            Decompressor { library: self, state }
        }
    }

    pub(super) struct Compressor<'l> {
        library: &'l Library,
        state: *mut c_void,
    }

    impl Compressor<'_> {
        /// Compresses a chunk; `None` when it would not become smaller.
        pub(super) fn compress(&self, plain: &[u8]) -> Option<Vec<u8>> {
            let mut packed = vec![0; plain.len().checked_sub(1)?];
            // SAFETY: both buffers have the stated lengths, `state` belongs to this value.
            let size = unsafe {
                (self.library.compress)(
                    plain.as_ptr().cast(),
                    plain.len(),
                    packed.as_mut_ptr().cast(),
                    packed.len(),
                    self.state,
                )
            };
            packed.truncate(size);
            (size > 0).then_some(packed)
        }
    }

    impl Drop for Compressor<'_> {
        fn drop(&mut self) {
            // SAFETY: made by wimlib_create_compressor, freed once.
            unsafe { (self.library.free_compressor)(self.state) }
        }
    }

    pub(super) struct Decompressor<'l> {
        library: &'l Library,
        state: *mut c_void,
    }

    impl Decompressor<'_> {
        pub(super) fn decompress(&self, packed: &[u8], out: &mut [u8]) {
            // SAFETY: both buffers have the stated lengths, `state` belongs to this value.
            let result = unsafe {
                (self.library.decompress)(
                    packed.as_ptr().cast(),
                    packed.len(),
                    out.as_mut_ptr().cast(),
                    out.len(),
                    self.state,
                )
            };
            assert_eq!(result, 0, "wimlib_decompress");
        }
    }

    impl Drop for Decompressor<'_> {
        fn drop(&mut self) {
            // SAFETY: made by wimlib_create_decompressor, freed once.
            unsafe { (self.library.free_decompressor)(self.state) }
        }
    }
}
