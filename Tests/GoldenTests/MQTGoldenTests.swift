import Bytes
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import MQT

@Suite struct MQTGoldenTests {
    @Test("the query transformer equals the published Resampler at every budget and grid")
    func queryTransformer() throws {
        let stage = try GoldenStage("mqt")
        let report = GoldenReport(stage)
        let cases = try stage.json("cases.json")
        let heads = try #require(cases["config"]?["num_heads"]?.int)
        let weights = try stage.tensors("weights.safetensors")
        let transformer = try QueryTransformer.golden(weights, heads: heads)

        for file in stage.files(ofKind: "data") {
            let data = try report.data(file)
            if data.keys.contains(where: { $0.hasPrefix("key_pos.") }) {
                try resampling(transformer, cases, data, stage, report, file)
            }
            try tables(data, stage, report, file)
            try realSize(data, stage, report, file)
            if let dy = data["dy"] { try gradients(weights, heads: heads, dy, stage, report, file) }
        }
        for file in stage.files(ofKind: "weights") where file.contains("fresh") {
            try freshPositions(stage.tensors(file), report)
        }
        report.finish()
    }

    private func resampling(
        _ transformer: QueryTransformer, _ cases: JSONValue, _ data: [String: Tensor], _ stage: GoldenStage,
        _ report: GoldenReport, _ file: String
    ) throws {
        let maximum = transformer.maximumTokens
        for entry in try #require(cases["cases"]?.array) {
            let size = try #require(entry["tgt_size"]?.array).compactMap(\.int)
            let grid = PatchGrid(height: size[0], width: size[1])
            let budget = try VisualTokenBudget(try #require(entry["m"]?.int), maximum: maximum)
            let x = try #require(entry["x"]?.string.flatMap { data[$0] })
            try report.check(
                file, try #require(entry["y"]?.string), transformer.batch(x, on: grid, budget: budget))
        }
        let largest = try VisualTokenBudget(maximum, maximum: maximum)
        for name in data.keys {
            let parts = name.split(separator: ".")
            if name.hasPrefix("key_pos."), let grid = PatchGrid(golden: parts[1]) {
                try report.check(file, name, transformer.keyPositions(for: grid))
            }
            if name.hasPrefix("attn_probs."), let grid = PatchGrid(golden: parts[1]) {
                try report.check(file, name, transformer.attentionTable(for: grid).weights)
            }
            if name.hasPrefix("y_bf16."), let grid = PatchGrid(golden: parts[1]), let x = data["x.\(parts[1])"] {
                let budget = try VisualTokenBudget(try #require(Int(parts[2].dropFirst())), maximum: maximum)
                try report.check(file, name, transformer.batch(x, on: grid, budget: budget))
            }
            // Beyond M the reference clamps; we refuse, and its result is that of M.
            if name.hasPrefix("y."), parts.count == 3, let m = Int(parts[2].dropFirst()), m > maximum,
                let grid = PatchGrid(golden: parts[1]), let x = data["x.\(parts[1])"]
            {
                #expect(throws: VisualTokenBudgetError.self) { try VisualTokenBudget(m, maximum: maximum) }
                try report.check(file, name, transformer.batch(x, on: grid, budget: largest))
            }
        }
        if let x = data["x.small"], data["y.small"] != nil {
            let notes = ["x.small", "y.small"].compactMap { stage.specification(file, $0)?["meaning"]?.string }
            let size = notes.lazy.compactMap { $0.firstMatch(of: /tgt (\d+x\d+)/)?.1 }.first
            let grid = try #require(size.flatMap { PatchGrid(golden: $0) })
            try report.check(file, "y.small", transformer.batch(x, on: grid, budget: largest))
        }
    }

    /// The gradients of Σ y · dy for an input of another file, whose grid the note on this one gives.
    private func gradients(
        _ weights: [String: Tensor], heads: Int, _ dy: Tensor, _ stage: GoldenStage, _ report: GoldenReport,
        _ file: String
    ) throws {
        let note = stage.manifest["files"]?[file]?["note"]?.string ?? ""
        let size = try #require(note.firstMatch(of: /tgt=\((\d+), (\d+)\)/))
        let grid = PatchGrid(height: try #require(Int(size.1)), width: try #require(Int(size.2)))
        let x = try #require(
            stage.files(ofKind: "data").lazy.compactMap { try? stage.tensors($0)["x.\(grid.height)x\(grid.width)"] }
                .first)
        let reader = WeightReader(weights) { _ in true }
        let transformer = try QueryTransformer.golden(reader, weights, heads: heads)
        let input = Parameter("x", x)
        let budget = try VisualTokenBudget(dy.shape[1], maximum: transformer.maximumTokens)
        let y = transformer.batch(input.tensor, on: grid, budget: budget)
        let loss = zip(y.floats, dy.floats).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        try report.check(file, "loss", Tensor([Float(loss)], shape: [1]))
        y.backward(from: dy)
        try report.check(file, "dx", input.gradient)
        try report.checkGradients(file, "grad.", reader.parameters)
    }

    /// Tables named `sincos.SIZE.GRID`, some by rows only.
    private func tables(
        _ data: [String: Tensor], _ stage: GoldenStage, _ report: GoldenReport, _ file: String
    ) throws {
        for name in data.keys where name.hasPrefix("sincos") {
            let parts = name.split(separator: ".")
            let table = SinCosPositionEmbedding.table(
                size: try #require(Int(parts[1])), grid: try #require(Int(parts[2])))
            guard parts.count > 3 else {
                try report.check(file, name, table)
                continue
            }
            let rows = try #require(stage.manifest["extra"]?["sincos_rows_\(parts[1])_\(parts[2])"]?.array)
            try report.check(file, name, table.gatheredRows(rows.compactMap(\.int)))
        }
    }

    /// A transformer of the published size whose weights a formula gives.
    private func realSize(
        _ data: [String: Tensor], _ stage: GoldenStage, _ report: GoldenReport, _ file: String
    ) throws {
        guard let rows = stage.manifest["extra"]?["real_size_rows"]?.object,
            data.keys.contains(where: { $0.hasPrefix("y.m") && $0.hasSuffix(".rows") })
        else { return }
        let description = try stage.json("real_size.json")
        let (transformer, x) = try QueryTransformer.realSize(description)
        let size = try #require(description["tgt_size"]?.array).compactMap(\.int)
        for (m, entry) in rows {
            let budget = try VisualTokenBudget(try #require(Int(m)), maximum: transformer.maximumTokens)
            let y = transformer.batch(x, on: PatchGrid(height: size[0], width: size[1]), budget: budget)[0]
            let indices = try #require(entry["rows"]?.array).compactMap(\.int)
            try report.check(file, "y.m\(m).rows", y.gatheredRows(indices))
        }
    }

    /// A fresh transformer's positions are the table rounded to half precision.
    private func freshPositions(_ weights: [String: Tensor], _ report: GoldenReport) throws {
        let positions = try #require(weights["pos_embed"])
        let grid = PatchGrid(squareOf: positions.rows)
        let table = SinCosPositionEmbedding.table(size: positions.columns, grid: grid.width)
        let isRounded = zip(positions.floats, table.floats).allSatisfy {
            abs($0 - $1) <= 0x1p-11 * max(abs($1), 0x1p-14)
        }
        report.checkEqual("fresh positions", isRounded, true)
    }
}

extension QueryTransformer {
    static func golden(_ tensors: [String: Tensor], heads: Int) throws -> QueryTransformer {
        try golden(WeightReader(tensors), tensors, heads: heads)
    }

    static func golden(_ reader: WeightReader, _ tensors: [String: Tensor], heads: Int) throws -> QueryTransformer {
        let query = try #require(tensors["query"]?.shape)
        let proj = try #require(tensors["proj"]?.shape)
        let transformer = QueryTransformer(
            reader, maximumTokens: query[0], featureSize: query[1], tokenSize: proj[1], numHeads: heads)
        try reader.finish(source: "golden weights")
        return transformer
    }

    /// The published size from `real_size.json`, and its input.
    static func realSize(_ description: JSONValue) throws -> (QueryTransformer, Tensor) {
        func tensor(_ entry: JSONValue) throws -> Tensor {
            GoldenStage.hashed(
                seed: try #require(entry["seed"]?.int), amplitude: Float(try #require(entry["amp"]?.double)),
                shape: try #require(entry["shape"]?.array).compactMap(\.int),
                offset: entry["plus_one"]?.bool == true ? 1 : 0)
        }
        var tensors = try (try #require(description["params"]?.object)).mapValues(tensor)
        let table = SinCosPositionEmbedding.table(
            size: try #require(description["kv_dim"]?.int), grid: try #require(description["grid_size"]?.int))
        tensors["pos_embed"] = table.roundedToHalf
        let heads = try #require(description["num_heads"]?.int)
        return (try golden(tensors, heads: heads), try tensor(try #require(description["x"])))
    }

    /// Tokens of a batch of features `[B, N, D]`, `[B, m, E]`.
    func batch(_ x: Tensor, on grid: PatchGrid, budget: VisualTokenBudget) -> Tensor {
        let table = attentionTable(for: grid, budget: budget)
        let tokens = (0..<x.shape[0]).map { self(x[$0], budget: budget, table: table) }
        return Tensor.concatenatingRows(tokens).reshaped(to: [x.shape[0], budget.tokens, tokenSize])
    }
}

extension PatchGrid {
    /// A grid from the spelling `6x4`, rows first.
    init?(golden text: Substring) {
        let parts = text.split(separator: "x").compactMap { Int($0) }
        guard parts.count == 2 else { return nil }
        self.init(height: parts[0], width: parts[1])
    }
}

extension Tensor {
    /// Float32 values that half precision can hold, to nearest even.
    var roundedToHalf: Tensor {
        Tensor(
            floats.map { value in
                // Adding and subtracting 1.5 · 2^(e + 13), e the exponent, leaves 11 significant bits.
                let exponent = max(value == 0 ? -14 : Int(value.exponent), -14)
                let shift = Float(sign: .plus, exponent: exponent + 13, significand: 1.5)
                return (value + shift) - shift
            }, shape: shape)
    }
}
