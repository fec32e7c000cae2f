import CKernels
public import Tensors

/// A two-dimensional convolution over an image in rows of pixels, `[H, W, C]` -> `[Ho, Wo, Co]`.
///
/// It runs as im2win: a strip of windows is laid out once per block of output rows, in which neighbouring windows
/// overlap in memory, and the product kernel reads them through overlapping row pointers. Without padding the rows of a
/// window lie in the image one after the other as they are, and nothing is laid out at all.
///
/// Source: im2win (arXiv 2306.14320), in the NHWC form of arXiv 2408.00278.
public struct Convolution2D: Sendable {
    /// Extents of the filter and how it moves.
    public struct Geometry: Sendable, Equatable {
        /// Channels of the input, C, and of the output, Co.
        public var channels, filters: Int
        /// Extent of a filter.
        public var filterHeight, filterWidth: Int
        /// Distance between neighbouring windows.
        public var strideHeight, strideWidth: Int
        /// Zero rows and columns on each side of the image.
        public var paddingHeight, paddingWidth: Int

        /// A geometry with square filters, strides and paddings.
        public init(channels: Int, filters: Int, filter: Int, stride: Int, padding: Int = 0) {
            self.init(
                channels: channels, filters: filters, filterHeight: filter, filterWidth: filter, strideHeight: stride,
                strideWidth: stride, paddingHeight: padding, paddingWidth: padding)
        }

        /// A geometry with an extent of its own for each axis.
        public init(
            channels: Int, filters: Int, filterHeight: Int, filterWidth: Int, strideHeight: Int, strideWidth: Int,
            paddingHeight: Int, paddingWidth: Int
        ) {
            self.channels = channels
            self.filters = filters
            self.filterHeight = filterHeight
            self.filterWidth = filterWidth
            self.strideHeight = strideHeight
            self.strideWidth = strideWidth
            self.paddingHeight = paddingHeight
            self.paddingWidth = paddingWidth
        }

        /// Multiply-adds per output value, K = Hf · Wf · C.
        public var depth: Int { filterHeight * filterWidth * channels }

        /// Rows and columns of the output for an image of the given size.
        public func outputSize(height: Int, width: Int) -> (height: Int, width: Int) {
            (
                (height + 2 * paddingHeight - filterHeight) / strideHeight + 1,
                (width + 2 * paddingWidth - filterWidth) / strideWidth + 1
            )
        }
    }

    /// How the windows reach the product kernel.
    public enum Route: Sendable, CaseIterable {
        /// Window strips with overlapping rows.
        case im2win
        /// No copy: one run per filter row, straight from the input. Needs padding 0.
        case rowRun
        /// Every window stored whole: the oracle of the other two.
        case im2col

        var kernel: vlm_convolution_route {
            switch self {
            case .im2win: VLM_IM2WIN
            case .rowRun: VLM_ROW_RUN
            case .im2col: VLM_IM2COL
            }
        }
    }

    /// Bytes a window strip should stay below, so that it lives in the L2 cache.
    static let stripBytes = 512 * 1024

    /// Extents and strides.
    public let geometry: Geometry
    /// The route taken.
    public let route: Route
    let filters: Tensor
    let bias: Tensor?
    private let panels: PackedFilters

    /// A convolution with the given filters.
    /// - Parameters:
    ///   - filters: `[Co, C, Hf, Wf]`, any floating-point type; a float32 copy in the kernel's order is kept.
    ///   - bias: `[Co]` float32.
    ///   - route: by default the one that suits the shape.
    public init(_ geometry: Geometry, filters: Tensor, bias: Tensor? = nil, route: Route? = nil) {
        precondition(
            filters.shape == [geometry.filters, geometry.channels, geometry.filterHeight, geometry.filterWidth],
            "filters \(filters.shape) for \(geometry)")
        let route = route ?? Self.route(for: geometry)
        precondition(route != .rowRun || (geometry.paddingHeight == 0 && geometry.paddingWidth == 0), "\(geometry)")
        self.geometry = geometry
        self.route = route
        self.filters = filters
        self.bias = bias
        panels = PackedFilters(filters, geometry, route)
    }

    /// Row runs where nothing is padded, window strips otherwise.
    static func route(for geometry: Geometry) -> Route {
        geometry.paddingHeight > 0 || geometry.paddingWidth > 0 ? .im2win : .rowRun
    }

    /// The convolution of one image or of a batch, followed by an activation.
    /// - Parameter image: `[H, W, C]` or `[B, H, W, C]`, at least as large as a filter when padded.
    /// - Returns: `[Ho, Wo, Co]` or `[B, Ho, Wo, Co]`.
    /// - Complexity: O(B · Ho · Wo · Co · K) multiply-adds.
    public func callAsFunction(_ image: Tensor, activation: Activation = .identity) -> Tensor {
        let extents = image.shape.suffix(3)
        precondition((3...4).contains(image.rank) && extents.last == geometry.channels, "image \(image.shape)")
        let isRecorded = isTracking(image, filters, bias)
        if isRecorded && activation != .identity { return self(image).activated(by: activation) }
        let shape = kernelShape(height: image.shape[image.rank - 3], width: image.shape[image.rank - 2])
        let (rows, columns) = (Int(shape.output_height), Int(shape.output_width))
        precondition(rows > 0 && columns > 0, "a filter of \(geometry) does not fit an image of \(image.shape)")

        let context = ComputeContext.current
        // Filters that are trained have changed since they were packed.
        let current = filters.isTracked ? nil : panels.packed(for: context.kernels)
        let panels = current ?? PackedFilters(filters, geometry, route)
        let (result, output) = Tensor.uninitialized(
            shape: image.shape.dropLast(3) + [rows, columns, geometry.filters])
        let images = image.rank == 4 ? image.shape[0] : 1
        let split = ConvolutionSplit(
            rows: rows, mostRows: stripRows(of: shape), filters: geometry.filters,
            panelColumns: panels.values.shape[2],
            threads: images < context.pool.threadCount ? context.pool.threadCount : 1)
        context.operations?.add(multiplyAdds: images * rows * columns * filters.count)
        let (imageFloats, outputFloats) = (extents.reduce(1, *), rows * columns * geometry.filters)
        let input = image.floatPointer
        withUnsafePointer(to: shape) { shape in
            let scratchFloats = vlm_convolution_scratch(shape, route.kernel, Int64(split.rows))
            context.pool.run(images * split.tasks) { task in
                let scratch = Scratch(scratchFloats)
                let (image, part) = task.quotientAndRemainder(dividingBy: split.tasks)
                let (strip, group) = part.quotientAndRemainder(dividingBy: split.groups)
                let (first, filter) = (strip * split.rows, group * split.filters)
                vlm_convolution_rows(
                    context.kernels.table, shape, route.kernel, input + image * imageFloats,
                    panels.values.floatPointer, bias?.floatPointer, activation.kernel, Int64(first),
                    Int64(min(rows, first + split.rows)), Int64(filter),
                    Int64(min(geometry.filters, filter + split.filters)), scratch.floats,
                    output + image * outputFloats)
            }
        }
        return isRecorded ? recorded(result, images: image, shape: shape) : result
    }

    /// The window tensor of a whole image, `[Ho, Wi, Hf, C]` with Wi the padded width: what a strip holds, for all rows.
    ///
    /// Element (m, k, u, c) is pixel (m · stride + u, k) of the padded image.
    public func windows(of image: Tensor) -> Tensor {
        let shape = kernelShape(height: image.shape[0], width: image.shape[1])
        let width = Int(vlm_im2win_row_floats([shape])) / (geometry.filterHeight * geometry.channels)
        let (result, output) = Tensor.uninitialized(
            shape: [Int(shape.output_height), width, geometry.filterHeight, geometry.channels])
        vlm_im2win_rows([shape], image.floatPointer, 0, shape.output_height, output)
        return result
    }

    /// Bytes of working memory that one task takes for an image of the given size.
    public func scratchBytes(height: Int, width: Int) -> Int {
        let shape = kernelShape(height: height, width: width)
        return Int(vlm_convolution_scratch([shape], route.kernel, Int64(stripRows(of: shape)))) * 4
    }

    func stripRows(of shape: vlm_convolution) -> Int {
        let rowBytes = Int(vlm_im2win_row_floats([shape])) * 4
        return min(max(1, Self.stripBytes / rowBytes), Int(shape.output_height))
    }

    private func kernelShape(height: Int, width: Int) -> vlm_convolution {
        let output = geometry.outputSize(height: height, width: width)
        return vlm_convolution(geometry, height: height, width: width, output: output)
    }
}

/// Filters in the order and panel width that a kernel set reads.
private struct PackedFilters: Sendable {
    let kernels: String
    let values: Tensor

    /// Packs for the kernels of the current context.
    init(_ filters: Tensor, _ geometry: Convolution2D.Geometry, _ route: Convolution2D.Route) {
        let set = ComputeContext.current.kernels
        let panelColumns = Int(set.table.pointee.tile_columns)
        let panelCount = (geometry.filters + panelColumns - 1) / panelColumns
        let (packed, panels) = Tensor.uninitialized(shape: [panelCount, geometry.depth, panelColumns])
        let shape = vlm_convolution(geometry, height: 0, width: 0, output: (0, 0))
        vlm_convolution_pack(
            set.table, [shape], route.kernel, filters.kernelElement, filters.rawPointer, panels)
        kernels = set.name
        values = packed
    }

    /// These filters, if they were packed for the given kernels.
    func packed(for set: KernelSet) -> PackedFilters? { set.name == kernels ? self : nil }
}

extension vlm_convolution {
    fileprivate init(_ geometry: Convolution2D.Geometry, height: Int, width: Int, output: (height: Int, width: Int)) {
        self.init(
            channels: Int64(geometry.channels), height: Int64(height), width: Int64(width),
            filters: Int64(geometry.filters), filter_height: Int64(geometry.filterHeight),
            filter_width: Int64(geometry.filterWidth), stride_height: Int64(geometry.strideHeight),
            stride_width: Int64(geometry.strideWidth), padding_top: Int64(geometry.paddingHeight),
            padding_left: Int64(geometry.paddingWidth), output_height: Int64(output.height),
            output_width: Int64(output.width))
    }
}
