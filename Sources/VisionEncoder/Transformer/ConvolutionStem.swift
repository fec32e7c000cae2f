public import NeuralNetwork
import Tensors

/// Convolutions in front of a vision transformer's patches, each followed by batch normalisation and ReLU.
///
/// Windows of 3 x 3 overlap at stride 2, so shapes are seen whole where straight patches would cut them; each layer
/// halves the picture.
///
/// Source: "Early Convolutions Help Transformers See Better" (arXiv 2106.14881).
public struct ConvolutionStem: Sendable {
    /// One halving of the picture.
    struct Layer: Sendable {
        let convolution: Convolution2D
        let norm: BatchNorm
    }

    private let layers: [Layer]
    /// The convolutions with their norms folded in; empty while the stem is trained.
    private let folded: [Convolution2D]

    /// Reads `I.convolution.weight` and `I.norm.*` for every layer I.
    /// - Parameter channels: of the layers' outputs.
    public init(_ weights: WeightReader, inputChannels: Int, channels: [Int]) {
        let layers = zip([inputChannels] + channels, channels).enumerated().map { index, channels in
            let geometry = Self.halving(channels.0, channels.1)
            let own = weights.scoped("\(index)")
            return Layer(
                convolution: Convolution2D(
                    geometry, filters: own.matrix("convolution.weight", [channels.1, channels.0, 3, 3])),
                norm: BatchNorm(own.scoped("norm"), channels: channels.1))
        }
        self.layers = layers
        let isTrained = layers.contains { $0.convolution.filters.isTracked || $0.norm.weight.isTracked }
        folded =
            isTrained
            ? []
            : layers.map { layer in
                let (filters, bias) = layer.norm.folded(into: layer.convolution.filters, bias: nil)
                return Convolution2D(layer.convolution.geometry, filters: filters, bias: bias)
            }
    }

    /// The shapes of the convolutions.
    var geometries: [Convolution2D.Geometry] { layers.map(\.convolution.geometry) }

    /// Windows of 3 x 3 at stride 2 that halve a picture of even extents.
    static func halving(_ channels: Int, _ filters: Int) -> Convolution2D.Geometry {
        Convolution2D.Geometry(channels: channels, filters: filters, filter: 3, stride: 2, padding: 1)
    }

    /// `[B, H, W, C]` -> `[B, H / 2ⁿ, W / 2ⁿ, Cₙ]` after n layers.
    func callAsFunction(_ images: Tensor) -> Tensor {
        guard folded.isEmpty else { return folded.reduce(images) { $1($0, activation: .relu) } }
        return layers.reduce(images) { $1.norm($1.convolution($0)).activated(by: .relu) }
    }
}
