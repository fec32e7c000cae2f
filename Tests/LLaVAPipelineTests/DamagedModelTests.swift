import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct DamagedModelTests {
    private let picture: RGBImage

    init() throws { picture = try RGBImage(contentsOf: Pictures.png) }

    /// Values that a configuration may not hold, or may hold elsewhere.
    private static var values: [Any] {
        [
            -1, 0, 1, 2, 3, 7, 8, 16, 32, 63, 64, 65, 128, 512, 1024, 2048, 16_384, 1 << 20, 1 << 20 + 1, 1 << 31,
            1 << 32,
            1 << 62, Int.max, Int.min, 1e30, 1e308, 1e-30, -1e30, 0.5, 1.5, "NaN", "", "x", "1", NSNull(), true, false,
            [Any](), [String: Any](), [1], ["a": 1], [[1, 1]], [[96, 96]], [[19_200, 9600]], [[96, 65_472]],
            "[[1e9, 1]]", "[(96, 96)]",
            "((((", "mlp1000000x_gelu", "mlp2x_gelu", "shiftedcos_decay_0_1", "shiftedcos_decay_nan_nan", "tanh_nan_1",
            "tanh_1e30_-1e30", "softmax", "deep_all", "interleave", "all", "vision_hr", "cls_patch", "anyres", "square",
        ]
    }

    /// A copy of a model whose weights are a link, to be changed a file at a time.
    private func link(_ source: URL) throws -> URL {
        let copy = try Fixtures.temporaryDirectory().appending(path: "model")
        try FileManager.default.copyItem(at: source, to: copy)
        return copy
    }

    private func change(
        _ source: URL, _ file: String, _ trial: inout DamageTrial, adding extra: [String] = [], of count: Int
    ) throws {
        let model = try link(source)
        let url = model.appending(path: file)
        let original = try Data(contentsOf: url)
        let object = try #require(try JSONSerialization.jsonObject(with: original) as? [String: Any])
        var generator = SeededGenerator(seed: UInt64(file.utf8.count) + UInt64(count))
        for key in (Array(object.keys) + extra).sorted() {
            // Every key is once missing, and otherwise one of the values.
            for round in 0..<count {
                var changed = object
                let value = round == 0 ? nil : Self.values.randomElement(using: &generator)
                changed[key] = value
                try JSONSerialization.data(withJSONObject: changed).write(to: url)
                trial.askModel(model, "\(file) \(key)=\(value ?? "none")", picture: picture)
            }
        }
        try original.write(to: url)
    }

    @Test("values of config.json that make no sense are refused, or do no harm")
    func configuration() throws {
        var trial = DamageTrial()
        try change(
            TinyModel.directory, "config.json", &trial,
            adding: [
                "rope_scaling", "head_dim", "query_abstractor_num_heads", "attention_bias", "max_num_patches",
                "image_grid_pinpoints", "tokenizer_model_max_length",
            ], of: 14)
        trial.finish("config.json")
    }

    @Test("values of the vision tower's and the tokenizer's files that make no sense are refused, or do no harm")
    func sideConfigurations() throws {
        var trial = DamageTrial()
        try change(TinyModel.directory, "vision_tower/config.json", &trial, adding: ["vision_config"], of: 16)
        try change(TinyModel.directory, "vision_tower/preprocessor_config.json", &trial, of: 12)
        try change(
            TinyModel.directory, "tokenizer_config.json", &trial,
            adding: ["added_tokens_decoder", "additional_special_tokens"],
            of: 10)
        trial.finish("side files")
    }

    @Test("the tower that config.json names is a name and no path: nothing outside the model is opened for it")
    func towerName() throws {
        let prefix = "model.vision_tower.vision_tower."
        var tower: [String: Tensor] = [:]
        let model = try TinyModel.copy { tensors in
            for (name, tensor) in tensors where name.hasPrefix(prefix) {
                tower[String(name.dropFirst(prefix.count))] = tensor
                tensors[name] = nil
            }
        }
        // A sound tower beside the model, which a path in config.json would lead to.
        let place = model.deletingLastPathComponent().appending(path: "tower")
        try FileManager.default.moveItem(at: model.appending(path: "vision_tower"), to: place)
        try SafetensorsWriter.write(tower, to: place.appending(path: "model.safetensors").path)
        var options = LoadOptions()
        options.visionTower = place.path
        _ = try LLaVAModel.load(from: model.path, options: options)
        for name in [place.path, "../tower", place.appending(path: "model.safetensors").path, "file://" + place.path] {
            try TinyModel.change(["mm_vision_tower": name], in: model.appending(path: "config.json"))
            let error = try #require(throws: LLaVAError.self) { try LLaVAModel.load(from: model.path) }
            guard case .missingVisionTower(name, model.path) = error else {
                Issue.record("\(name): \(error)")
                continue
            }
        }
    }

    @Test("values of a configuration that cuts pictures into tiles are refused, or do no harm")
    func tiles() throws {
        let model = try TinyModel.copyWithProjector()
        let weights = model.appending(path: "model.safetensors").path
        var tensors = try SafetensorsFile(path: weights).tensors
        tensors["model.image_newline"] = .random([64], seed: 3)
        try SafetensorsWriter.write(tensors, to: weights)
        try TinyModel.change(
            [
                "mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres",
                "image_grid_pinpoints": [[192, 96], [96, 192], [192, 192]], "max_num_patches": 2,
            ], in: model.appending(path: "config.json"))
        var trial = DamageTrial()
        try change(model, "config.json", &trial, of: 5)
        let url = model.appending(path: "config.json")
        for value in Self.values {
            for key in ["max_num_patches", "image_grid_pinpoints", "mm_patch_merge_type"] {
                let original = try Data(contentsOf: url)
                try TinyModel.change([key: value], in: url)
                trial.askModel(model, "tiles \(key)=\(value)", picture: picture)
                try original.write(to: url)
            }
        }
        trial.finish("tiles")
    }

    @Test("JSON files with flipped, missing and doubled bytes are refused, or do no harm")
    func text() throws {
        let model = try link(TinyModel.directory)
        var generator = SeededGenerator(seed: 21)
        var trial = DamageTrial()
        for file in [
            "config.json", "vision_tower/config.json", "vision_tower/preprocessor_config.json", "tokenizer_config.json",
        ] {
            let url = model.appending(path: file)
            let original = try Data(contentsOf: url)
            for index in 0..<80 {
                try generator.damaged(original, head: original.count).write(to: url)
                trial.askModel(model, "\(file) text \(index)", picture: picture)
            }
            try original.write(to: url)
        }
        trial.finish("JSON text")
    }

    @Test("damaged weights are refused, or do no harm")
    func weights() throws {
        let model = try link(TinyModel.directory)
        let url = model.appending(path: "model.safetensors")
        let original = try Data(contentsOf: url)
        let head = original.prefix(8).enumerated().reduce(8) { $0 + Int($1.element) << (8 * $1.offset) }
        var generator = SeededGenerator(seed: 22)
        var trial = DamageTrial()
        for index in 0..<350 {
            // A new file each time: the one before may still be mapped.
            try FileManager.default.removeItem(at: url)
            try generator.damaged(original, head: head).write(to: url)
            trial.askModel(model, "weights \(index)", picture: picture)
        }
        trial.finish("weights")
    }

    @Test("weights of other shapes and types are refused, or do no harm")
    func shapes() throws {
        let source = try SafetensorsFile(path: TinyModel.path + "/model.safetensors").tensors
        let names = source.keys.sorted()
        let model = try link(TinyModel.directory)
        let url = model.appending(path: "model.safetensors")
        var generator = SeededGenerator(seed: 23)
        var trial = DamageTrial()
        for index in 0..<250 {
            var tensors = source
            let name = try #require(names.randomElement(using: &generator))
            let tensor = try #require(source[name])
            switch index % 5 {
            case 0: tensors[name] = nil
            case 1: tensors[name] = tensor.reshaped(to: [1] + tensor.shape)
            case 2: tensors[name] = tensor.shape[0] > 1 ? tensor[0..<tensor.shape[0] - 1] : tensor[0..<0]
            case 3: tensors[name] = Tensor(integers: Array(repeating: 1, count: tensor.count), shape: tensor.shape)
            default:
                // The same extents in another order, or the values as float32.
                tensors[name] =
                    Bool.random(using: &generator) ? tensor.reshaped(to: tensor.shape.reversed()) : tensor.widened
            }
            try FileManager.default.removeItem(at: url)
            try SafetensorsWriter.write(tensors, to: url.path)
            trial.askModel(model, "\(name) case \(index % 5)", picture: picture)
        }
        trial.finish("shapes")
    }

    @Test("a tower whose shape is told by its tensors alone may be damaged too")
    func inferredTower() throws {
        let prefix = "model.vision_tower.vision_tower.vision_model."
        let model = try link(TinyModel.directory)
        try FileManager.default.removeItem(at: model.appending(path: "vision_tower"))
        let url = model.appending(path: "model.safetensors")
        let source = try SafetensorsFile(path: TinyModel.path + "/model.safetensors").tensors
        var trial = DamageTrial()
        let cases: [(String, Tensor?)] = [
            ("embeddings.class_embedding", source[prefix + "embeddings.class_embedding"]),
            ("embeddings.patch_embedding.weight", .random([64, 4, 8, 8], seed: 1)),
            ("embeddings.patch_embedding.weight", .random([64, 3, 8, 7], seed: 1)),
            ("embeddings.patch_embedding.weight", .random([64, 3, 0, 0], seed: 1)),
            ("embeddings.patch_embedding.weight", .random([64, 0, 8, 8], seed: 1)),
            ("embeddings.patch_embedding.weight", .random([0, 3, 8, 8], seed: 1)),
            ("embeddings.patch_embedding.weight", nil),
            ("embeddings.position_embedding.weight", .random([146, 64], seed: 1)),
            ("embeddings.position_embedding.weight", .random([1, 64], seed: 1)),
            ("embeddings.position_embedding.weight", .random([0, 64], seed: 1)),
            ("encoder.layers.0.mlp.fc1.weight", .random([0, 64], seed: 1)),
            ("encoder.layers.99999999999.mlp.fc1.weight", .random([128, 64], seed: 1)),
        ]
        for (name, tensor) in cases {
            var tensors = source
            tensors[prefix + name] = tensor
            try FileManager.default.removeItem(at: url)
            try SafetensorsWriter.write(tensors, to: url.path)
            trial.askModel(model, "inferred \(name) \(tensor?.shape ?? [])", picture: picture)
        }
        trial.finish("inferred tower")
    }

    @Test("a damaged tokenizer is refused, or does no harm")
    func tokenizer() throws {
        let model = try link(TinyModel.directory)
        let url = model.appending(path: "tokenizer.model")
        let original = try Data(contentsOf: url)
        var generator = SeededGenerator(seed: 24)
        var trial = DamageTrial()
        for index in 0..<300 {
            try generator.damaged(original, head: 400).write(to: url)
            trial.askModel(model, "tokenizer \(index)", picture: picture)
        }
        trial.finish("tokenizer.model")
    }
}
