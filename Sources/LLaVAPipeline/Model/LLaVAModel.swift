public import LanguageDecoder
public import ModelFiles
public import MQT
public import NeuralNetwork
import PMoD
public import Tensors
public import VisionEncoder

/// A vision-language model: tower, connector and decoder.
///
///     let features = model.encode(image)                       // [views, N, D], reusable across budgets
///     let tokens = try model.visualTokens(from: features)      // [n, E]
///     let prompt = try model.prompt(ids, images: [tokens])
public struct LLaVAModel: Sendable {
    /// The whole configuration.
    public let config: LLaVAConfig
    /// Where the checkpoint lies, for messages.
    public let path: String
    /// What kind of checkpoint it was recognised as: that of the decoder, if the model is assembled from parts.
    public let layout: CheckpointLayout
    /// Where its words are.
    public let tokenizerLocation: TokenizerFiles.Location
    /// What its weights were rounded to.
    public let quantization: Quantization
    /// Sees images; nil for a text-only model.
    public let vision: Vision?
    /// Reads the prompt and writes the answer.
    public let decoder: LlamaModel
    /// What is trained, in the order it was read; empty unless `LoadOptions.trains` chose something.
    public let parameters: [Parameter]
    /// The adapters of low rank, by the names of the weights they stand beside.
    public let adapters: [String: LowRankAdapter]

    /// The part of a model that sees.
    public struct Vision: Sendable {
        /// The vision transformer.
        public let tower: VisionTransformer
        /// The file or directory that the tower's weights are in.
        public let weightsPath: String
        /// Index of the hidden state that features come from.
        public let hiddenStateIndex: Int
        /// Which tokens of that state are features.
        public let featureSelection: FeatureSelection
        /// From features to the decoder's width.
        public let connector: VisualConnector
        /// Line break of LLaVA-NeXT, `[E]`.
        public let imageNewline: Tensor?
        /// How images are fitted into the tower.
        public let imageProcessing: ImageProcessing
        /// How views of them become pixel values.
        public let imageProcessor: CLIPImageProcessor

        /// Patches of a view, which is of the processor's crop size.
        public var grid: PatchGrid { imageProcessor.patchGrid(of: tower) }
    }

    /// The features of one image, which any budget can be read from.
    public struct Features: Sendable {
        /// `[views, N, D]`.
        public let tensor: Tensor
        /// The image they come from.
        public let image: ProcessedImage

        /// Features `[views, N, D]` of an image.
        public init(tensor: Tensor, image: ProcessedImage) {
            self.tensor = tensor
            self.image = image
        }
    }

    /// The largest number of visual tokens a view can have, or nil if the number is fixed.
    public var maximumVisualTokens: Int? {
        guard case .queryTransformer(let transformer, _) = vision?.connector else { return nil }
        return transformer.maximumTokens
    }

    /// A budget for this model; nil takes the one the checkpoint names, or the largest.
    /// - Throws: `VisualTokenBudgetError` if the model cannot honour the number.
    public func budget(_ requested: Int?) throws -> VisualTokenBudget? {
        guard let maximum = maximumVisualTokens else {
            if requested != nil { throw VisualTokenBudgetError.notElastic(model: path) }
            return nil
        }
        return try VisualTokenBudget(requested ?? config.numVisualTokens ?? maximum, maximum: maximum)
    }

    /// An image as the tower takes it.
    /// - Throws: `LLaVAError.textOnly` for a model without a tower, `ImageError` for an image it cannot take.
    public func process(_ image: RGBImage) throws -> ProcessedImage {
        guard let vision else { throw LLaVAError.textOnly(checkpoint: path) }
        return try vision.imageProcessing(image, with: vision.imageProcessor)
    }

    /// Features of a processed image, independent of the budget.
    /// - Parameter trace: receives `pixel_values`, `vision.hidden.I` and `vision.features`.
    /// - Throws: `LLaVAError.textOnly` for a model without a tower, `LLaVAError.pixelValues` for values of a shape it does not take.
    public func encode(_ image: ProcessedImage, trace: Trace? = nil) throws -> Features {
        guard let vision else { throw LLaVAError.textOnly(checkpoint: path) }
        try vision.check(image)
        trace?.record("pixel_values", image.pixelValues)
        let state = vision.tower.hiddenState(image.pixelValues, at: vision.hiddenStateIndex, trace: trace)
        let features = vision.featureSelection(
            state, hasClassToken: vision.tower.config.hasClassToken)  // [views, N, D]
        trace?.record("vision.features", features)
        return Features(tensor: features, image: image)
    }

    /// Features of several processed images, computed together.
    /// - Throws: As for one image.
    public func encode(_ images: [ProcessedImage]) throws -> [Features] {
        guard let first = images.first else { return [] }
        guard let vision else { throw LLaVAError.textOnly(checkpoint: path) }
        for image in images { try vision.check(image) }
        let views = Tensor.concatenatingRows(images.map(\.pixelValues).map { $0.reshaped(to: [$0.rows, $0.columns]) })
        let all = views.reshaped(
            to: [images.reduce(0) { $0 + $1.pixelValues.shape[0] }] + first.pixelValues.shape.dropFirst())
        let features = vision.featureSelection(
            vision.tower.hiddenState(all, at: vision.hiddenStateIndex),
            hasClassToken: vision.tower.config.hasClassToken)
        var start = 0
        return images.map { image in
            let range = start..<start + image.pixelValues.shape[0]
            start = range.upperBound
            return Features(tensor: features[range], image: image)
        }
    }

    /// The visual tokens of an image.
    /// - Parameters:
    ///   - budget: tokens for each view; nil for a model whose number is fixed.
    ///   - trace: receives `visual_tokens` `[1, n, E]`.
    public func visualTokens(
        from features: Features, budget: VisualTokenBudget? = nil, trace: Trace? = nil
    ) throws -> VisualTokens {
        guard let vision else { throw LLaVAError.textOnly(checkpoint: path) }
        let views = features.tensor.shape[0]
        let tokens: VisualTokens
        switch vision.connector {
        case .queryTransformer(let transformer, let table):
            let budget = try budget ?? VisualTokenBudget(transformer.maximumTokens, maximum: transformer.maximumTokens)
            // While it is trained the table changes with every step.
            let table =
                transformer.isTableTrained ? transformer.attentionTable(for: table.grid, budget: budget) : table
            let perView = (0..<views).map { transformer(features.tensor[$0], budget: budget, table: table) }
            tokens = Self.flat(Tensor.concatenatingRows(perView), views: views)
        case .projector(let projector):
            let projected = projector(features.tensor)  // [views, N, E]
            if let merge = spatialMerge(views: views) {
                tokens = merge(projected, tiles: features.image.grid, imageSize: features.image.originalSize)
            } else {
                let size = projected.columns
                tokens = Self.flat(projected.reshaped(to: [projected.count / size, size]), views: views)
            }
        }
        trace?.record("visual_tokens", tokens.embeddings.reshaped(to: [1] + tokens.embeddings.shape))
        return tokens
    }

    /// A prompt from token ids and the visual tokens of its images.
    public func prompt(_ ids: [Int], images: [VisualTokens]) throws -> MultimodalPrompt {
        try MultimodalPrompt(
            ids: ids, images: images, embedTokens: decoder.embedTokens, target: config.pmod?.modTargetTokenType)
    }

    private func spatialMerge(views: Int) -> SpatialMerge? {
        guard views > 1, let vision, let newline = vision.imageNewline else { return nil }
        return SpatialMerge(
            imageNewline: newline, gridSize: vision.grid.width, maxNumPatches: config.maxNumPatches)
    }

    /// Tokens of all views one after the other; the first view shows the whole image.
    private static func flat(_ embeddings: Tensor, views: Int) -> VisualTokens {
        let perView = embeddings.rows / views
        return VisualTokens(embeddings: embeddings, isHighResolution: (0..<embeddings.rows).map { $0 >= perView })
    }
}

extension LLaVAModel.Vision {
    /// Checks that the tower takes an image, whose pixel values may have been made elsewhere.
    fileprivate func check(_ image: ProcessedImage) throws {
        let crop = imageProcessor.cropSize
        let shape = image.pixelValues.shape
        guard image.pixelValues.elementType == .float32, shape.count == 4, shape[0] > 0,
            shape.dropFirst() == [3, crop.height, crop.width]
        else {
            throw LLaVAError.pixelValues(
                got: "\(image.pixelValues.elementType.rawValue) \(shape)",
                expected: "F32 [views, 3, \(crop.height), \(crop.width)]")
        }
        // Only a map of tiles depends on how they lie.
        guard imageNewline != nil, shape[0] > 1 else { return }
        let (grid, size) = (image.grid, image.originalSize)
        let isGrid = (1..<shape[0]).contains(grid.width) && (1..<shape[0]).contains(grid.height)
        guard isGrid, grid.area == shape[0] - 1, size.width > 0, size.height > 0 else {
            throw LLaVAError.pixelValues(
                got: "\(shape[0]) views, a grid of \(grid) tiles and an image of \(size) pixels",
                expected: "one view of the whole image and one for each tile of the grid")
        }
    }
}
