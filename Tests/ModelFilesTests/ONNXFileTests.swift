import Foundation
import Tensors
import TestSupport
import Testing

@testable import ModelFiles

@Suite("ONNX files")
struct ONNXFileTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func load(_ bytes: [UInt8]) throws -> ONNXFile {
        try ONNXFile(path: scratch.write(bytes, as: "model.onnx"))
    }

    @Test(
        "elements are the same as raw bytes, as packed numbers and as single numbers",
        arguments: ElementType.allCases.filter { !$0.isBlockQuantized })
    func elements(type: ElementType) throws {
        let values = type == .bool ? [1, 0, 1, 1, 0, 0] : [1, 0, 2, 3, 100, 127]
        let isSigned = type != .bool && type != .uint8
        let integers = isSigned ? values.map { $0 % 2 == 0 ? $0 : -$0 } : values
        let expected = integers.map(Float.init)
        let raw = integers.flatMap { Self.bytes($0, type) }
        let (field, wireType): (Int, UInt64) =
            switch type {
            case .float32: (4, 5)
            case .float64: (10, 1)
            case .int64: (7, 0)
            default: (5, 0)
            }
        let numbers = integers.map { integer in
            let bytes = Self.bytes(integer, type)
            if wireType != 0 { return bytes }
            let bits = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return ProtobufBytes.varint(type.isFloatingPoint ? bits : UInt64(bitPattern: Int64(integer)))
        }
        func tensor(_ name: String, _ body: (inout ProtobufBytes) -> Void) -> [UInt8] {
            ONNXBytes.tensor(name, shape: [2, 3], dataType: ONNXBytes.dataType(type), body)
        }
        let file = try load(
            ONNXBytes.model(initializers: [
                tensor("raw") { $0.bytes(9, raw) }, tensor("packed") { $0.bytes(field, Array(numbers.joined())) },
                tensor("single") { message in for number in numbers { message.raw(field, wireType: wireType, number) }
                },
            ]))
        let tensors = try file.tensors()
        #expect(tensors.count == 3)
        for (name, tensor) in tensors {
            #expect(tensor.shape == [2, 3] && tensor.elementType == type)
            #expect(tensor.floats == expected, "\(name)")
            #expect(tensor.bytes == raw, "\(name)")
        }
    }

    private static func bytes(_ value: Int, _ type: ElementType) -> [UInt8] {
        switch type {
        case .float32: return littleEndian(Float(value).bitPattern)
        case .float64: return littleEndian(Double(value).bitPattern)
        case .bfloat16: return littleEndian(UInt16(truncatingIfNeeded: Float(value).bitPattern >> 16))
        case .float16:
            // Exact for the small whole numbers used here.
            let single = Float(value)
            let half =
                value == 0 ? 0 : UInt16(Int(single.exponent) + 15) << 10 | UInt16(single.significandBitPattern >> 13)
            return littleEndian(half | (value < 0 ? 0x8000 : 0))
        default: return Array(littleEndian(Int64(value)).prefix(type.byteCount))
        }
    }

    @Test("an anonymous weight is called after the layer that uses it, and turned round once")
    func names() throws {
        let matrix = Tensor((0..<6).map(Float.init), shape: [2, 3])
        let names = [
            "onnx::MatMul_7", "onnx::MatMul_8", "12", "onnx::MatMul_9", "own", "onnx::Add_3", "onnx::MatMul_10",
        ]
        let file = try load(
            ONNXBytes.model(
                nodes: [
                    ONNXBytes.node("MatMul", "/a/layer.3/query/MatMul", inputs: ["x", "onnx::MatMul_7"]),
                    ONNXBytes.node("MatMul", "/b/MatMul_1", inputs: ["x", "onnx::MatMul_7"]),
                    ONNXBytes.node("Gemm", "/b/Gemm", inputs: ["x", "12", ""], attributes: ["transB": 1]),
                    ONNXBytes.node("MatMul", "/MatMul", inputs: ["x", "onnx::MatMul_8"]),
                    ONNXBytes.node("MatMul", "/a/layer.3/query/MatMul_2", inputs: ["x", "onnx::MatMul_9"]),
                    ONNXBytes.node("MatMul", "/c/MatMul", inputs: ["x", "own"]),
                    ONNXBytes.node("Add", "/d/Add", inputs: ["x", "onnx::Add_3"]),
                    ONNXBytes.node("Gemm", "/e/Gemm", inputs: ["x", "onnx::MatMul_10"]),
                ], initializers: names.map { ONNXBytes.tensor($0, matrix) }))
        #expect(file.producer == "by hand 1.0" && file.irVersion == 7 && file.operatorSetVersion == 14)
        #expect(file.nodes[2].attributes == ["transB": .integer(1)] && file.nodes[2].inputs == ["x", "12", ""])
        #expect(file.nodes(reading: "onnx::MatMul_7").map(\.module) == ["a.layer.3.query", "b"])

        let kept: Set = ["onnx::MatMul_8", "onnx::MatMul_9", "own", "onnx::Add_3", "b.weight"]
        let stored = try file.tensors()
        #expect(
            Set(stored.keys) == kept.union(["a.layer.3.query.weight.transposed", "e.weight.transposed"]))
        #expect(stored.values.allSatisfy { $0.bytes == matrix.bytes })
        let weights = try file.weights()
        #expect(Set(weights.keys) == kept.union(["a.layer.3.query.weight", "e.weight"]))
        for (name, tensor) in weights {
            #expect(tensor.bytes == (kept.contains(name) ? matrix : matrix.transposed).bytes, "\(name)")
        }
        #expect(file.transposedByteCount == 48)
    }

    @Test("weights that were written as numbers are turned round as well")
    func transposedNumbers() throws {
        let bits: [UInt16] = [0x3C00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600]
        let tensor = ONNXBytes.tensor("onnx::MatMul_1", shape: [3, 2], dataType: 10) { message in
            for value in bits { message.integer(5, Int(value)) }
        }
        let node = ONNXBytes.node("MatMul", "/fc/MatMul", inputs: ["x", "onnx::MatMul_1"])
        let weight = try #require(
            try load(ONNXBytes.model(nodes: [node], initializers: [tensor])).weights()["fc.weight"])
        #expect(weight.shape == [2, 3] && weight.floats == [1, 3, 5, 2, 4, 6])
    }

    @Test("aligned elements are used in place, others are copied; both are read right")
    func places() throws {
        let tensor = Tensor.random([16, 4], seed: 3)
        var mapped = 0
        for padding in 0..<4 {
            let name = "t" + String(repeating: "x", count: padding)
            let read = try #require(
                try load(ONNXBytes.model(initializers: [ONNXBytes.tensor(name, tensor)])).tensors()[name])
            #expect(read.bytes == tensor.bytes)
            mapped += read.isMapped ? 1 : 0
        }
        #expect(mapped == 1)
    }

    @Test("a file and a directory are opened by their contents")
    func recognised() throws {
        let weight = Tensor.random([4, 4], seed: 5)
        let bytes = ONNXBytes.model(initializers: [ONNXBytes.tensor("w", weight)])
        for name in ["model.onnx", "weights", "pytorch_model.bin"] {
            let path = try scratch.write(bytes, as: name)
            let checkpoint = try CheckpointDirectory(path: path)
            #expect(checkpoint.tensors["w"]?.bytes == weight.bytes && checkpoint.files[0].format == .onnx)
            #expect(throws: CheckpointError.self) { try SafetensorsFile(path: path) }
        }
        for other in [[8, 7], [8, 7, 0x12, 1, 65], [8, 0, 0x3A, 0], [0x3A, 2, 0, 0]] as [[UInt8]] {
            let error = try #require(throws: CheckpointError.self) { try load(other) }
            guard case .unsupportedFormat = error else {
                Issue.record("\(error)")
                continue
            }
        }
    }

    @Test("what cannot be used is refused with the reason")
    func refused() throws {
        func model(_ type: Int = 1, _ shape: [Int] = [2], _ body: (inout ProtobufBytes) -> Void) -> [UInt8] {
            ONNXBytes.model(initializers: [ONNXBytes.tensor("w", shape: shape, dataType: type, body)])
        }
        let eight = [UInt8](repeating: 0, count: 8)
        var outside = ProtobufBytes()
        outside.text(1, "location")
        outside.text(2, "../../../etc/passwd")
        let good = ONNXBytes.tensor("w", Tensor(repeating: 0, shape: [2]))
        var twoGraphs = ProtobufBytes()
        twoGraphs.bytes(7, [])
        var sparse = ProtobufBytes()
        sparse.bytes(15, [])
        let cases: [(String, [UInt8])] = [
            ("another file", model { $0.bytes(13, outside.bytes) }),
            ("another file", model { $0.integer(14, 1) }),
            ("sparse", ONNXBytes.model(graph: sparse.bytes)),
            ("second", ONNXBytes.model(initializers: [good]) + twoGraphs.bytes),
            ("there twice", ONNXBytes.model(initializers: [good, good])),
            ("number 8", model(8) { $0.bytes(6, [65]) }),
            ("8 bytes", model { $0.bytes(9, [0, 0, 0, 0]) }),
            ("8 bytes", model { _ in }),
            ("8 bytes", model { $0.bytes(7, [0, 0]) }),
            ("several", model { for _ in 0..<2 { $0.bytes(4, [0, 0, 0, 0]) } }),
            ("shape", model(1, [-1, -2]) { $0.bytes(9, eight) }),
            ("shape", model(1, [1 << 40, 1 << 40]) { $0.bytes(9, eight) }),
            ("shape", model(1, .init(repeating: 1, count: 65)) { _ in }),
            ("wire type", model { $0.raw(9, wireType: 3, []) }),
            ("10 bytes", model { $0.raw(14, wireType: 0, .init(repeating: 0xFF, count: 11)) }),
            ("UTF-8", model { $0.bytes(8, [0xFF]) }),
        ]
        for (reason, bytes) in cases {
            let error = try #require(throws: CheckpointError.self) { try load(bytes) }
            #expect("\(error)".contains(reason), "\(error)")
        }
        let empty = try scratch.write(ONNXBytes.model(initializers: []), as: "model.onnx")
        #expect(throws: CheckpointError.noTensors(files: [empty])) { try CheckpointDirectory(path: empty) }
    }

    @Test("a file cut short anywhere is refused, and small fields cannot become large values")
    func bounded() throws {
        let whole = ONNXBytes.model(
            nodes: [ONNXBytes.node("MatMul", "/a/MatMul", inputs: ["x", "onnx::1"])],
            initializers: [ONNXBytes.tensor("onnx::1", Tensor.random([2, 2], seed: 1))])
        // The operator sets stand after the graph and may be missing.
        let tail = 4
        for count in 0..<whole.count - tail {
            #expect(throws: CheckpointError.self, "\(count)") { try load(Array(whole.prefix(count))) }
        }
        let nodes = [UInt8](repeatElement([0x0A, 0], count: 2_100_000).joined())
        let error = try #require(throws: CheckpointError.self) { try load(ONNXBytes.model(graph: nodes)) }
        #expect("\(error)".contains("at most 2000000 fields"))
    }

    @Test("a file with random damage is refused or loaded, never worse", .timeLimit(.minutes(2)))
    func damage() throws {
        let original = ONNXBytes.model(
            nodes: [
                ONNXBytes.node("MatMul", "/a/b.0/MatMul", inputs: ["x", "onnx::MatMul_1"], outputs: ["y"]),
                ONNXBytes.node("Gemm", "/c/Gemm", inputs: ["y", "onnx::Gemm_2", "c.bias"], attributes: ["transB": 1]),
            ],
            initializers: [
                ONNXBytes.tensor("onnx::MatMul_1", Tensor.random([4, 6], seed: 1)),
                ONNXBytes.tensor("onnx::Gemm_2", Tensor.random([3, 6], seed: 2).asBFloat16),
                ONNXBytes.tensor("c.bias", shape: [3], dataType: 1) { message in
                    for value in [1, 2, 3] as [Float] { message.raw(4, wireType: 5, littleEndian(value.bitPattern)) }
                },
                ONNXBytes.tensor("shape", shape: [2], dataType: 7) { $0.bytes(7, [1, 0xFF, 1]) },
            ])
        _ = try load(original)
        let maximum = [UInt8](repeating: 0xFF, count: 9) + [1]
        let target = DamageTarget(
            testDescription: "ONNX", source: "", name: "model.onnx",
            pieces: [
                maximum, [0x08] + maximum, [0x0A] + maximum, [0x4A] + maximum, [0x4A, 0], [0x22, 0], [0x3A, 0],
                [0x2A, 0],
                [0x6A, 0], [0x70, 1], [0x10, 10], [0x10, 7], [0x08, 0], [0x08, 0x80, 0x80, 0x80, 0x80, 1], [0x0B],
                [0x80],
                [0xFF], Array("onnx::MatMul_1".utf8), Array("MatMul".utf8),
            ])
        var generator = SeededGenerator(seed: 21)
        var counts = (refused: 0, loaded: 0)
        for _ in 0..<800 {
            let bytes = target.damaged(original, &generator)
            do {
                let file = try load(bytes)
                for tensors in try [file.tensors(), file.weights()] {
                    for tensor in tensors.values {
                        // Nothing is larger than what the file could have spelled out in one byte an element.
                        #expect(tensor.bytes.count <= 8 * bytes.count)
                        #expect(tensor.bytes.count == tensor.shape.reduce(1, *) * tensor.elementType.byteCount)
                    }
                }
                counts.loaded += 1
            } catch let error as CheckpointError {
                #expect(!error.description.isEmpty)
                counts.refused += 1
            }
        }
        #expect(counts.refused > 300 && counts.loaded > 50, "\(counts)")
    }
}
