import NeuralNetwork
import Tensors

extension VisionTransformer {
    /// Whether a map of a block is stored in a plain type, so that it can be rounded when it is loaded.
    public var holdsPlainMaps: Bool {
        blocks.contains { block in
            let attention = block.selfAttn
            return [attention.qProj, attention.kProj, attention.vProj, attention.outProj, block.fc1, block.fc2]
                .contains { !$0.weight.elementType.isBlockQuantized }
        }
    }
}
