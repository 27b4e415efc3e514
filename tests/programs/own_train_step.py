"""A user's model with a training step, a state and random numbers of its own."""

import keras
import tensorflow as tf


class Noisy(keras.Model):
    """Adds noise in training, from Keras's generator and from one of its own."""

    def __init__(self, num_outputs):
        super().__init__(name="noisy")
        self.flatten = keras.layers.Flatten()
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.norm = keras.layers.BatchNormalization()
        self.answer = keras.layers.Dense(num_outputs, activation="softmax")
        self.generator = keras.random.SeedGenerator(5)
        self.steps = self.add_weight(name="steps", trainable=False, dtype="int32")

    def call(self, inputs, training=False):
        hidden = self.hidden(self.flatten(inputs))
        if training:
            shape = keras.ops.shape(hidden)
            hidden += 0.1 * keras.random.normal(shape, seed=self.generator)
            hidden += 0.1 * keras.random.normal(shape)
        return self.answer(self.norm(hidden, training=training))

    def train_step(self, data):
        x, y = data
        self.steps.assign_add(1)
        rate = 1.0 / (1.0 + 0.1 * tf.cast(self.steps.value, tf.float32))
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        gradients = [gradient * rate for gradient in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(x, y, predicted)


def build(spec):
    return Noisy(spec.num_outputs)
