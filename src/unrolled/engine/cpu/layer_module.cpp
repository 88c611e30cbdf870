// The Python side of the loop over time: one layer's forward and backward, all directions.
#include "layer_module.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "layer_call.h"

namespace unrolled {
namespace {

nb::object sum(nb::handle a, nb::handle b) { return a.attr("add_")(b); }

// What was found in float32, in the dtype of its model.
nb::object like(nb::object found, nb::handle model) {
  const nb::object dtype = dtype_of(model);
  return is_float32(dtype) ? found : converted(found, dtype);
}

nb::list forward(nb::handle x, const nb::list& initial, const nb::list& weights, nb::handle lengths,
                 nb::handle reset, const std::string& program, const std::string& isa,
                 index directions, bool batch_first, bool save, int checkpoint, nb::handle seed,
                 const std::vector<double>& rates, int threads, int slices) {
  if (checkpoint != 0) refuse("checkpoint must be 0, got " + std::to_string(checkpoint));
  Layer layer(isa, program, directions, batch_first, x, initial, weights, lengths, reset, seed,
              rates, threads, slices);
  const nb::object output = layer.new_output();
  const nb::list last = layer.new_states();
  nb::list tapes;
  if (save) tapes = layer.new_tapes();
  layer.forward(output, last, tapes);
  const nb::object rounded = like(output, initial[0]);
  nb::list found;
  found.append(rounded);
  for (std::size_t k = 0; k < last.size(); ++k) found.append(like(last[k], initial[k]));
  for (const nb::handle tape : tapes) found.append(tape);
  if (save && !rounded.is(output)) found.append(output);
  return found;
}

nb::list backward(nb::handle gradient, const nb::list& gradient_last,
                  const nb::list& gradient_tapes, nb::handle x, const nb::list& initial,
                  const nb::list& weights, nb::handle lengths, nb::handle reset, nb::handle output,
                  const nb::list& tapes, const std::string& program, const std::string& isa,
                  bool batch_first, bool need_x, int checkpoint, nb::handle seed,
                  const std::vector<double>& rates, index directions, int threads, int slices,
                  index block) {
  if (checkpoint != 0) refuse("checkpoint must be 0, got " + std::to_string(checkpoint));
  Layer layer(isa, program, directions, batch_first, x, initial, weights, lengths, reset, seed,
              rates, threads, slices);
  const nb::list of_initial = layer.new_states(), of_weights = layer.new_weights();
  nb::list of_x, of_anew;
  if (need_x) of_x = layer.new_inputs();
  if (layer.resets()) of_anew = layer.new_states();
  layer.backward(output, tapes, block, false, gradient, gradient_last, gradient_tapes, of_x,
                 of_weights, of_initial, of_anew);
  nb::list found;
  for (std::size_t k = 0; k < of_initial.size(); ++k) {
    const nb::object whole =
        of_anew.size() > 0 ? sum(of_initial[k], of_anew[k]) : nb::object(of_initial[k]);
    found.append(like(whole, initial[k]));
  }
  for (std::size_t k = 0; k < of_weights.size(); ++k)
    found.append(like(of_weights[k], weights[k]));
  if (need_x) {
    nb::object whole = of_x[0];
    for (std::size_t d = 1; d < of_x.size(); ++d) whole = sum(whole, of_x[d]);
    whole = like(whole, x);
    found.append(batch_first ? nb::object(whole.attr("transpose")(0, 1)) : whole);
  }
  return found;
}

// A part of a direction's sequence, into arrays that are there.
void forward_part(nb::handle x, const nb::list& initial, const nb::list& weights,
                  nb::handle lengths, nb::handle reset, const std::string& program,
                  const std::string& isa, nb::handle seed, const std::vector<double>& rates,
                  bool descending, index first_step, const nb::list& anew, int threads, int slices,
                  nb::handle output, const nb::list& last, const nb::list& tapes) {
  Layer layer(isa, program, 1, false, x, initial, weights, lengths, reset, seed, rates, threads,
              slices);
  layer.is_part(descending, first_step, anew);
  layer.forward(output, last, tapes);
}

void backward_part(nb::handle x, const nb::list& initial, const nb::list& weights,
                   nb::handle lengths, nb::handle reset, const std::string& program,
                   const std::string& isa, nb::handle seed, const std::vector<double>& rates,
                   bool descending, index first_step, const nb::list& anew, int threads, int slices,
                   nb::handle output, const nb::list& tapes, index block, nb::handle gradient,
                   const nb::list& gradient_last, const nb::list& gradient_x,
                   const nb::list& gradient_weights, const nb::list& gradient_initial,
                   const nb::list& gradient_anew) {
  Layer layer(isa, program, 1, false, x, initial, weights, lengths, reset, seed, rates, threads,
              slices);
  layer.is_part(descending, first_step, anew);
  layer.backward(output, tapes, block, true, gradient, gradient_last, nb::list(), gradient_x,
                 gradient_weights, gradient_initial, gradient_anew);
}

}  // namespace

void bind_layer(nb::module_& m) {
  m.def("forward", &forward, nb::arg("x"), nb::arg("initial"), nb::arg("weights"),
        nb::arg("lengths").none(), nb::arg("reset").none(), nb::arg("program"), nb::arg("isa"),
        nb::arg("directions"), nb::arg("batch_first"), nb::arg("save"), nb::arg("checkpoint"),
        nb::arg("seed").none(), nb::arg("rates"), nb::arg("threads"), nb::arg("slices"),
        "Runs one layer over a whole sequence; see unrolled.engine.request.Recurrence.");
  m.def("backward", &backward, nb::arg("gradient").none(), nb::arg("gradient_last"),
        nb::arg("gradient_tapes"), nb::arg("x"), nb::arg("initial"), nb::arg("weights"),
        nb::arg("lengths").none(), nb::arg("reset").none(), nb::arg("output"), nb::arg("tapes"),
        nb::arg("program"), nb::arg("isa"), nb::arg("batch_first"), nb::arg("need_x"),
        nb::arg("checkpoint"), nb::arg("seed").none(), nb::arg("rates"), nb::arg("directions"),
        nb::arg("threads"), nb::arg("slices"), nb::arg("block"),
        "Its gradient; see unrolled.engine.request.RecurrenceBackward.");
  m.def("forward_part", &forward_part, nb::arg("x"), nb::arg("initial"), nb::arg("weights"),
        nb::arg("lengths").none(), nb::arg("reset").none(), nb::arg("program"), nb::arg("isa"),
        nb::arg("seed").none(), nb::arg("rates"), nb::arg("descending"), nb::arg("first_step"),
        nb::arg("anew"), nb::arg("threads"), nb::arg("slices"), nb::arg("output"), nb::arg("last"),
        nb::arg("tapes"), "Runs one direction of a layer over a part of its sequence.");
  m.def("backward_part", &backward_part, nb::arg("x"), nb::arg("initial"), nb::arg("weights"),
        nb::arg("lengths").none(), nb::arg("reset").none(), nb::arg("program"), nb::arg("isa"),
        nb::arg("seed").none(), nb::arg("rates"), nb::arg("descending"), nb::arg("first_step"),
        nb::arg("anew"), nb::arg("threads"), nb::arg("slices"), nb::arg("output"),
        nb::arg("tapes"), nb::arg("block"), nb::arg("gradient").none(), nb::arg("gradient_last"),
        nb::arg("gradient_x"), nb::arg("gradient_weights"), nb::arg("gradient_initial"),
        nb::arg("gradient_anew"),
        "Its gradient; those of weights and of states after a reset are added to what is there.");
  m.def("advise", &advise, nb::arg("array"),
        "Asks for large pages under an array that is about to be written for the first time.");
}

}  // namespace unrolled
