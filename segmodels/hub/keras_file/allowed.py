"""What a network of Keras may be made of here: layers and operations that compute, and none that run code, read files
or reach for anything outside the network. Loads no Keras.
"""

from __future__ import annotations

#: Layers, by the name that Keras exports them under in `keras.layers`.
LAYERS = frozenset({
    "Activation", "ActivityRegularization", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D", "Add", "AlphaDropout",
    "Average", "AveragePooling2D", "BatchNormalization", "CenterCrop", "Concatenate", "Conv1D", "Conv2D",
    "Conv2DTranspose", "Cropping2D", "Dense", "DepthwiseConv2D", "Dropout", "ELU", "Flatten", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "GroupNormalization", "Identity", "InputLayer",
    "LayerNormalization", "LeakyReLU", "MaxPooling2D", "Maximum", "Minimum", "MultiHeadAttention", "Multiply",
    "Normalization", "PReLU", "Permute", "RMSNormalization", "RandomBrightness", "RandomContrast", "RandomFlip",
    "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "Reshape", "Resizing",
    "SeparableConv2D", "Softmax", "SpatialDropout2D", "Subtract", "UnitNormalization", "UpSampling2D",
    "ZeroPadding2D",
})  # fmt: skip

#: Operations, as `x + y` or `keras.ops.relu(x)` become one, by the module of Keras that they are in.
OPERATIONS = {
    "keras.src.ops.numpy": frozenset({
        "Absolute", "Add", "Concatenate", "Divide", "Exp", "GetItem", "Log", "Max", "Maximum", "Mean", "Min",
        "Minimum", "Moveaxis", "Multiply", "Negative", "Power", "Reshape", "Sqrt", "Square", "Squeeze", "Subtract",
        "Sum", "Tanh", "Transpose", "TrueDivide",
    }),
    "keras.src.ops.nn": frozenset({
        "Elu", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "LogSoftmax", "Relu", "Relu6", "Selu",
        "Sigmoid", "Silu", "Softmax", "Softplus",
    }),
    "keras.src.ops.image": frozenset({"Resize"}),
}  # fmt: skip

#: Networks within a network, by how Keras writes their module; what it writes today comes first.
FUNCTIONAL = ("keras.src.models.functional", "keras.models", "keras", "keras.src.engine.functional")
SEQUENTIAL = ("keras", "keras.models", "keras.src.models.sequential", "keras.src.engine.sequential")

#: Activations by name, of layers that have one.
ACTIVATIONS = frozenset({
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparsemax", "squareplus", "swish", "tanh",
    "tanh_shrink", "threshold",
})  # fmt: skip

#: Layers that may stand in place of an activation's name.
ACTIVATION_LAYERS = frozenset({"ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"})

#: Endings of settings that belong to training or to how weights begin: left out, for the weights come from the file.
LEFT_OUT = ("dtype", "initializer", "regularizer", "constraint", "seed", "synchronized", "autocast")

#: Settings that would make other weights than the layer's own, and must be empty.
EMPTY = ("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size", "sparse", "ragged", "optional")
