import Bytes
import Foundation
import ModelFiles
public import Tensors
import Testing

/// What the stages of whole vision-language models say about their models and cases.
extension GoldenStage {
    /// Whether a directory of the stage holds a decoder and not only a tower.
    public func holdsDecoder(_ directory: String) -> Bool {
        (try? json(directory + "/config.json"))?["vocab_size"] != nil
    }

    /// Heads of the query transformer, which no checkpoint stores, if the set has a `params.json`.
    public var queryTransformerHeads: Int? {
        get throws {
            guard FileManager.default.fileExists(atPath: path("params.json")) else { return nil }
            return try json("params.json")["num_heads"]?.int
        }
    }

    /// Path of the vision tower's configuration.
    public var towerDirectory: String? {
        files(ofKind: "config").map { ($0 as NSString).deletingLastPathComponent }
            .first { !$0.isEmpty && !holdsDecoder($0) }.map(path)
    }

    /// The images that `params.json` describes by formula, in the order of their names.
    public func formulaImages() throws -> [Tensor] {
        let parameters = try json("params.json")
        let side = try #require(parameters["clip"]?["image_size"]?.int)
        let images = try #require(parameters["pixel_values"]?.object).filter { $0.key.hasPrefix("image") }
        return try images.sorted { $0.key < $1.key }.map {
            GoldenStage.hashed(seed: try #require($0.value["seed"]?.int), amplitude: 2, shape: [1, 3, side, side])
        }
    }

    /// Which images a case splices, in the order of its marks: the note may say "images in order 2, 1".
    public func imageOrder(_ file: String, _ name: String, marks: Int) throws -> [Int] {
        let prefix = name.dropLast("logits".count)
        let notes = ["logits", "inputs_embeds", "input_ids"].compactMap {
            specification(file, prefix + $0)?["meaning"]?.string
        }
        let order = notes.lazy.compactMap { note -> [Int]? in
            guard let match = note.firstMatch(of: /images in order ([0-9, ]+)/) else { return nil }
            return match.1.split(separator: ",").compactMap { Int($0.trimmingPrefix(" ")) }.map { $0 - 1 }
        }.first
        return order ?? Array(0..<marks)
    }
}
