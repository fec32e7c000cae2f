import CKernels
import Tensors

/// Parts that the sums over all output rows of a batch are gathered in, whatever the threads.
private let filterParts = 8
/// Rows of the input that one task computes.
private let bandRows = 16

extension Convolution2D {
    /// The way back of a batch: dfilters = dyᵀ · windows, from strips as the forward pass lays them out; dx is the
    /// product of dy with the filters, window by window, added where the windows lie; dbias sums dy.
    func recorded(_ result: Tensor, images: Tensor, shape: vlm_convolution) -> Tensor {
        let (filters, bias) = (filters, bias)
        return result.recorded(from: [images, filters, bias]) { dy, pass in
            if images.isTracked { pass.add(inputGradient(dy, images, shape), to: images) }
            if filters.isTracked { pass.add(filterGradient(dy, images, shape), to: filters) }
            if let bias, bias.isTracked { pass.add(dy.summedRows, to: bias) }
        }
    }

    private func filterGradient(_ dy: Tensor, _ images: Tensor, _ shape: vlm_convolution) -> Tensor {
        let context = ComputeContext.current
        let kernels = context.kernels.table
        let (depth, rows) = (geometry.depth, Int(shape.output_height))
        let imageFloats = Int(shape.height * shape.width * shape.channels)
        let outputFloats = rows * Int(shape.output_width * shape.filters)
        let strip = stripRows(of: shape)
        let strips = (rows + strip - 1) / strip
        let units = images.count / imageFloats * strips
        let parts = min(filterParts, units)
        let count = geometry.filters * depth
        let (input, gradient) = (images.floatPointer, dy.floatPointer)
        let sums = Scratch(parts * count)
        let all = sums.floats
        all.update(repeating: 0, count: parts * count)
        withUnsafePointer(to: shape) { shape in
            let scratchFloats = vlm_convolution_filters_scratch(kernels, shape, Int64(strip))
            context.pool.run(parts) { part in
                let scratch = Scratch(scratchFloats)
                for unit in part * units / parts..<(part + 1) * units / parts {
                    let (image, first) = (unit / strips, unit % strips * strip)
                    vlm_convolution_filters_backward(
                        kernels, shape, input + image * imageFloats, gradient + image * outputFloats, Int64(first),
                        Int64(min(rows, first + strip)), scratch.floats, all + part * count)
                }
            }
        }
        for part in 1..<max(parts, 1) {
            kernels.pointee.add_scaled(Int64(count), all, 1, all + part * count, all)
        }
        // From the windows' order, (v, u, c), to the filters', (c, u, v).
        let (channels, height, width) = (geometry.channels, geometry.filterHeight, geometry.filterWidth)
        return Tensor(shape: filters.shape) { target in
            var index = 0
            for filter in 0..<geometry.filters {
                for c in 0..<channels {
                    for u in 0..<height {
                        for v in 0..<width {
                            target[index] = all[filter * depth + (v * height + u) * channels + c]
                            index += 1
                        }
                    }
                }
            }
        }
    }

    private func inputGradient(_ dy: Tensor, _ images: Tensor, _ shape: vlm_convolution) -> Tensor {
        let context = ComputeContext.current
        let kernels = context.kernels.table
        // Panels over (u, v, c) with the filters along the depth: those of im2col, turned.
        let (depth, count, nr) = (geometry.depth, geometry.filters, Int(kernels.pointee.tile_columns))
        let matrix = filters.windowMajor  // [Co, Hf · Wf · C]
        let panels = Scratch((depth + nr - 1) / nr * nr * count)
        for j in stride(from: 0, to: depth, by: nr) {
            kernels.pointee.pack_in_out(
                VLM_F32, Int64(min(nr, depth - j)), Int64(count), matrix.floatPointer + j, Int64(depth),
                panels.floats + j * count)
        }
        let packed = panels.floats
        let imageFloats = Int(shape.height * shape.width * shape.channels)
        let outputFloats = Int(shape.output_height * shape.output_width * shape.filters)
        let height = Int(shape.height)
        let bands = (height + bandRows - 1) / bandRows
        let gradient = dy.floatPointer
        return Tensor(shape: images.shape) { elements in
            guard let dx = elements.baseAddress else { return }
            withUnsafePointer(to: shape) { shape in
                let scratchFloats = vlm_convolution_input_scratch(shape)
                let rowFloats = imageFloats / height
                context.pool.run(images.count / imageFloats * bands) { task in
                    let scratch = Scratch(scratchFloats)
                    let (image, first) = (task / bands, task % bands * bandRows)
                    let end = min(height, first + bandRows)
                    let target = dx + image * imageFloats
                    (target + first * rowFloats).update(repeating: 0, count: (end - first) * rowFloats)
                    vlm_convolution_input_backward(
                        kernels, shape, gradient + image * outputFloats, packed, Int64(first), Int64(end),
                        scratch.floats, target)
                }
            }
        }
    }
}

extension Tensor {
    /// Filters `[Co, C, Hf, Wf]` as `[Co, Hf · Wf · C]`, float32, untracked.
    fileprivate var windowMajor: Tensor {
        let (channels, window, values) = (shape[1], shape[2] * shape[3], floats)
        return Tensor(shape: [shape[0], window * channels]) { target in
            for filter in 0..<shape[0] {
                for c in 0..<channels {
                    for w in 0..<window {
                        target[(filter * window + w) * channels + c] = values[(filter * channels + c) * window + w]
                    }
                }
            }
        }
    }
}
