import Foundation
import Tensors

/// OpenBLAS, loaded at run time with its AVX-512 kernels where the processor has them: it does not know every processor and
/// would take older ones.
struct OpenBLAS {
    private typealias Product =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32, UnsafePointer<Float>, Int32,
            Float,
            UnsafeMutablePointer<Float>, Int32
        ) -> Void

    /// The processor whose kernels it took.
    let core: String
    private let product: Product
    private let setThreads: @convention(c) (Int32) -> Void

    /// Loads it; call once, before anything else could have.
    init() throws {
        let hasAVX512 = KernelSet.best.name == "avx512"
        if hasAVX512 { setenv("OPENBLAS_CORETYPE", "SkylakeX", 1) }
        guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
            let product = dlsym(library, "cblas_sgemm"), let setThreads = dlsym(library, "openblas_set_num_threads"),
            let corename = dlsym(library, "openblas_get_corename")
        else {
            throw PeerError.missing("OpenBLAS: libopenblas.so.0 with cblas_sgemm", install: "libopenblas0-pthread")
        }
        self.product = unsafeBitCast(product, to: Product.self)
        self.setThreads = unsafeBitCast(setThreads, to: (@convention(c) (Int32) -> Void).self)
        let name = unsafeBitCast(corename, to: (@convention(c) () -> UnsafePointer<CChar>?).self)
        core = name().map { String(cString: $0) } ?? ""
        guard !hasAVX512 || ["SkylakeX", "Cooperlake", "SapphireRapids"].contains(core) else {
            throw PeerError.kernels("OpenBLAS took its kernels for \(core), which are not AVX-512")
        }
    }

    /// Threads of every product from now on.
    func use(threads: Int) { setThreads(Int32(threads)) }

    /// c `[M, N]` = a `[M, K]` w, w being `[K, N]` or, turned, `[N, K]`.
    func multiply(
        rows: Int, columns: Int, depth: Int, _ a: UnsafePointer<Float>, _ w: UnsafePointer<Float>, isTurned: Bool,
        into c: UnsafeMutablePointer<Float>
    ) {
        let (rowMajor, plain, turned) = (Int32(101), Int32(111), Int32(112))
        product(
            rowMajor, plain, isTurned ? turned : plain, Int32(rows), Int32(columns), Int32(depth), 1, a, Int32(depth),
            w,
            Int32(isTurned ? depth : columns), 0, c, Int32(columns))
    }
}

/// Why a comparison cannot be made.
enum PeerError: Error, CustomStringConvertible {
    case missing(String, install: String)
    case kernels(String)
    case disagree(String, by: Float)
    case request(String)

    var description: String {
        switch self {
        case .missing(let what, let package): "\(what) is not there: apt-get install \(package)"
        case .kernels(let what): what
        case .disagree(let what, let difference): "\(what) computes something else than ours: off by \(difference)"
        case .request(let line):
            "\(line): \"convolution INDEX\" and \"attention INDEX\" are known, as `kernel-peers shapes` prints them"
        }
    }
}
