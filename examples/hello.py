"""The word "hello", read by a network of three units, with every number in sight.

    h_t = tanh(x_t W_xh + h_{t-1} W_hh)      what the network remembers after step t
    o_t = h_t W_ho                           one score (logit) for each letter
    p_t = softmax(o_t)                       scores as probabilities

The network reads h, e, l, l and should predict e, l, l, o: at each step the next letter. With the
weights below it does not. Then it is trained on this one word, and it does.
"""

import torch
from torch.nn.functional import cross_entropy, one_hot

from unrolled import RNN

letters = ["h", "e", "l", "o"]
inputs = torch.tensor([0, 1, 2, 2])  # h e l l
targets = torch.tensor([1, 2, 2, 3])  # e l l o

W_xh = torch.tensor(
    [
        [0.2973, 0.2766, 0.7974],  # what an "h" adds to each of the three units
        [0.3869, 0.9170, 0.4125],  # "e"
        [0.5538, 0.5646, 0.5026],  # "l"
        [0.2206, 0.6801, 0.3880],  # "o"
    ]
)
W_hh = torch.tensor(
    [
        [0.3152, 0.5083, 0.9454],
        [0.3008, 0.6058, 0.2999],
        [0.9741, 0.3419, 0.9133],
    ]
)
W_ho = torch.tensor(
    [
        [0.3189, 0.6216, 0.5164, 0.7501],
        [0.0260, 0.6230, 0.0179, 0.6123],
        [0.1320, 0.9009, 0.3873, 0.8142],
    ]
)

# A layer keeps its matrices the other way up (it computes W x for columns x): hence the .T.
rnn = RNN(input_size=4, hidden_size=3, bias=False)
read_out = torch.nn.Linear(3, 4, bias=False)
weight_xh, weight_hh = rnn.parameters()
with torch.no_grad():
    weight_xh.copy_(W_xh.T)
    weight_hh.copy_(W_hh.T)
    read_out.weight.copy_(W_ho.T)

x = one_hot(inputs, num_classes=4).float()  # [4 steps, 4 letters]: one letter is one at each step


def show() -> None:
    """Run the word through the network and print what happens at each step."""
    with torch.no_grad():
        hidden, _ = rnn(x)  # [4 steps, 3 units]
        logits = read_out(hidden)  # [4 steps, 4 letters]
        before = torch.zeros(3)  # h_0: nothing has been read yet
        for t in range(4):
            from_input = x[t] @ weight_xh.T
            from_memory = before @ weight_hh.T
            probabilities = logits[t].softmax(0)
            predicted, right = int(probabilities.argmax()), int(targets[t])
            print(f"step {t + 1}: reads {letters[inputs[t]]!r}")
            print(f"  x W_xh               {numbers(from_input)}")
            print(f"  h W_hh               {numbers(from_memory)}")
            print(f"  sum                  {numbers(from_input + from_memory)}")
            print(f"  h = tanh(sum)        {numbers(hidden[t])}")
            print(f"  o = h W_ho           {numbers(logits[t])}")
            print(f"  softmax(o)           {numbers(probabilities)}    for {', '.join(letters)}")
            verdict = "right" if predicted == right else f"wrong, {letters[right]!r} comes next"
            print(f"  predicts {letters[predicted]!r}: {verdict}\n")
            before = hidden[t]


def numbers(values: torch.Tensor) -> str:
    """Four decimals each, in columns."""
    return "  ".join(f"{value:7.4f}" for value in values.tolist())


print("Before training\n")
show()

print("Training: cross-entropy, plain gradient descent, all of the word at every step")
parameters = [*rnn.parameters(), *read_out.parameters()]
for update in range(501):
    loss = cross_entropy(read_out(rnn(x)[0]), targets)  # mean of -log p(right letter)
    gradients = torch.autograd.grad(loss, parameters)  # backpropagation through time
    with torch.no_grad():
        for weight, gradient in zip(parameters, gradients, strict=True):
            weight.sub_(0.5 * gradient)  # a step downhill
    if update % 100 == 0:
        print(f"  update {update:3d}: loss {loss.item():.4f}")

print("\nAfter training\n")
show()
