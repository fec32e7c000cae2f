import ArgumentParser
import Foundation
import Tensors
import VisionEncoder

/// `kernel-peers`: our kernels and those of others in turns.
@main
struct KernelPeers: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernel-peers",
        abstract: "Time convolutions and products against OpenBLAS and oneDNN; print JSON.",
        discussion: """
            Programs take turns, A B C A B C; a ratio is of the turns of one round. Results are compared first. The layers are
            those of the im2win paper, one image in rows of pixels, float32. im2col is the same product as ours over windows
            that are stored whole; OpenBLAS, forced to its AVX-512 kernels, multiplies windows that the same code has stored.
            """,
        subcommands: [Compare.self, Shapes.self, Serve.self], defaultSubcommand: Compare.self)
}

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Time ours against OpenBLAS and oneDNN (the default).")

    @Option(help: ArgumentHelp("Time of a turn.", valueName: "s")) var seconds = 0.05
    @Option(help: ArgumentHelp("Turns of each program.", valueName: "n")) var rounds = 5
    @Option(help: ArgumentHelp("Numbers of threads, with commas.", valueName: "n,n")) var threads = "2,1"
    @Flag(help: "Leave out the products.") var convolutionsOnly = false

    func validate() throws {
        guard seconds > 0, rounds > 0 else { throw ValidationError("--seconds and --rounds are above 0") }
        guard !counts.contains(0) else { throw ValidationError("--threads \(threads): numbers above 0") }
    }

    private var counts: [Int] { threads.split(separator: ",").map { Int($0) ?? 0 } }

    func run() throws {
        let openBLAS = try OpenBLAS()
        let turns = Turns(seconds: seconds, rounds: rounds)
        try printJSON(
            Report(
                openBLAS: openBLAS.core,
                runs: counts.map { count in
                    openBLAS.use(threads: count)
                    try useOpenMP(threads: count)
                    return try ComputeContext(threads: count).run {
                        try ComputeContext.reusingMemory { try run(turns, openBLAS, threads: count) }
                    }
                }))
    }

    private func run(_ turns: Turns, _ openBLAS: OpenBLAS, threads: Int) throws -> Report.Run {
        let before = MachineRates.measured().flops
        let convolutions = try PublishedLayer.all.map { layer in
            let peers = try ConvolutionPeers(layer, openBLAS: openBLAS)
            try peers.check()
            return Report.Convolution(
                layer: layer.name, gflop: Double(layer.operations) * 1e-9, oneDNN: peers.oneDNNName,
                comparison: Comparison(turns.compare(peers.programs), ours: "ours"))
        }
        let products = (convolutionsOnly ? [] : ProductPeers.shapes).map { rows, columns, depth in
            let peers = ProductPeers(rows: rows, columns: columns, depth: depth, openBLAS: openBLAS)
            return Report.Product(
                rows: rows, columns: columns, depth: depth,
                comparison: Comparison(turns.compare(peers.programs), ours: "ours"))
        }
        return Report.Run(
            threads: threads, float32Gflops: (max(before, MachineRates.measured().flops) * 1e-9).rounded(),
            convolutions: convolutions, products: products)
    }

    private struct Report: Encodable {
        struct Convolution: Encodable {
            var layer: String
            var gflop: Double
            var oneDNN: String
            var comparison: Comparison
        }

        struct Product: Encodable {
            var rows, columns, depth: Int
            var comparison: Comparison
        }

        struct Run: Encodable {
            var threads: Int
            var float32Gflops: Double
            var convolutions: [Convolution]
            var products: [Product]
        }

        /// The processor whose kernels OpenBLAS took.
        var openBLAS: String
        var runs: [Run]
    }
}

struct Shapes: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print what `serve` knows as JSON.")

    func run() throws {
        try printJSON(
            Known(
                convolutions: PublishedLayer.all.map {
                    .init(
                        layer: $0.name, channels: $0.geometry.channels, side: $0.side, filters: $0.geometry.filters,
                        filter: $0.geometry.filterHeight, stride: $0.geometry.strideHeight,
                        gflop: Double($0.operations) * 1e-9)
                }, attention: AttentionShape.all))
    }

    private struct Known: Encodable {
        struct Convolution: Encodable {
            var layer: String
            var channels, side, filters, filter, stride: Int
            var gflop: Double
        }

        var convolutions: [Convolution]
        var attention: [AttentionShape]
    }
}

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Take a turn of ours for every line read, and print its milliseconds: for programs in other languages.",
        discussion:
            "Lines are \"convolution INDEX\" and \"attention INDEX\", as `kernel-peers shapes` numbers them from 0.")

    @Option(help: ArgumentHelp("Time of a turn.", valueName: "s")) var seconds = 0.1
    @Option(help: ArgumentHelp("Threads.", valueName: "n")) var threads = 2

    func run() throws {
        let turns = Turns(seconds: seconds, rounds: 1)
        try ComputeContext(threads: threads).run {
            try ComputeContext.reusingMemory {
                var known: [String: () -> Void] = [:]
                while let line = readLine() {
                    let program = try known[line] ?? Self.program(line)
                    known[line] = program
                    print(turns.turn(program))
                    fflush(nil)
                }
            }
        }
    }

    private static func program(_ line: String) throws -> () -> Void {
        let words = line.split(separator: " ")
        guard words.count == 2, let index = Int(words[1]) else { throw PeerError.request(line) }
        switch words[0] {
        case "convolution" where PublishedLayer.all.indices.contains(index):
            return ConvolutionPeers.ours(PublishedLayer.all[index])
        case "attention" where AttentionShape.all.indices.contains(index): return AttentionShape.all[index].ours()
        default: throw PeerError.request(line)
        }
    }
}

/// Threads of whatever runs on OpenMP from now on, which oneDNN does.
private func useOpenMP(threads: Int) throws {
    guard let symbol = dlsym(nil, "omp_set_num_threads") else {
        throw PeerError.missing("OpenMP, on which oneDNN runs,", install: "libdnnl-dev")
    }
    unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Void).self)(Int32(threads))
}

private func printJSON(_ report: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    print(String(decoding: try encoder.encode(report), as: UTF8.self))
}
