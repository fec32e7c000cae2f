import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Tensors that are made when they are written")
struct PendingTensorTests {
    private let tensors: [String: Tensor] = [
        "a": .random([4, 32], seed: 1), "b": .random([8, 64], seed: 2), "c": .random([5], seed: 3),
    ]

    @Test("a file of them has the bytes of one whose tensors were converted before")
    func sameBytes() throws {
        let scratch = try Scratch()
        let converted = try tensors.mapValues { try $0.rank == 2 ? $0.converted(to: .q8_0) : $0 }
        let pending = try tensors.mapValues { $0.rank == 2 ? try PendingTensor($0, as: .q8_0) : PendingTensor($0) }
        try GGUFWriter.write(converted, metadata: ["k": .bool(true)], to: scratch.path("1"))
        try GGUFWriter.write(making: pending, metadata: ["k": .bool(true)], to: scratch.path("2"))
        let halves = try tensors.mapValues { try $0.converted(to: .float16) }
        try SafetensorsWriter.write(halves, to: scratch.path("3"))
        try SafetensorsWriter.write(
            making: tensors.mapValues { try PendingTensor($0, as: .float16) }, to: scratch.path("4"))
        for (one, other) in [("1", "2"), ("3", "4")] {
            let (first, second) = (scratch.path(one), scratch.path(other))
            #expect(try Data(contentsOf: URL(filePath: first)) == Data(contentsOf: URL(filePath: second)))
        }
    }

    @Test("each is made once, when its turn comes")
    func order() throws {
        let scratch = try Scratch()
        var made: [[Int]] = []
        var progress: [Int] = []
        let pending = try tensors.mapValues { tensor in
            try PendingTensor(tensor, as: .float16) {
                made.append(tensor.shape)
                return $0
            }
        }
        #expect(made.isEmpty)
        try GGUFWriter.write(making: pending, metadata: [:], to: scratch.path("a.gguf")) {
            // What was made by now is what was written.
            #expect(made.count == progress.count + 1)
            progress.append($0.done)
        }
        #expect(made == [[4, 32], [8, 64], [5]] && progress == [256, 1280, 1290])
    }

    @Test("an element that does not fit is reported with its tensor's name, and no file is left")
    func refusal() throws {
        let scratch = try Scratch()
        var values = [Float](repeating: 0, count: 64)
        values[40] = 1e30
        let pending = [
            "good": PendingTensor(tensors["a"]!), "bad": try PendingTensor(Tensor(values, shape: [2, 32]), as: .q4_1),
        ]
        let error = #expect(throws: CheckpointError.self) {
            try GGUFWriter.write(making: pending, metadata: [:], to: scratch.path("a.gguf"))
        }
        #expect("\(error, default: "")".contains("tensor bad: element 32"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
        #expect(throws: QuantizationError.partialBlocks(.q4_K, shape: [4, 32])) {
            try PendingTensor(.random([4, 32], seed: 1), as: .q4_K)
        }
    }
}
