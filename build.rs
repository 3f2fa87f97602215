//! Lets this package's programs and tests find the libtorch that torch-sys was built with.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // torch-sys is a direct dependency so that Cargo hands us this variable; without the `torch` feature there is none.
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    // Installed: ../lib beside bin/. In a checkout: the folder torch-sys linked from.
    println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:{lib}");
    println!("cargo::rustc-link-arg=-L{lib}");
    // Keep libtorch.so itself as a dependency: with a CUDA libtorch it is what loads libtorch_cuda.so.
    println!("cargo::rustc-link-arg=-Wl,--no-as-needed,-ltorch,--as-needed");
}
