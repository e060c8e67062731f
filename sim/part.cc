#include "sim/part.h"

namespace keles::sim {

PartSlot::PartSlot(Loop& loop, Network* network, std::string name, Caller user, Make make)
    : loop_(loop),
      network_(network),
      name_(std::move(name)),
      user_(std::move(user)),
      make_(std::move(make)) {}

void PartSlot::start() {
  line_ = std::make_shared<Line>();
  line_->name = name_;
  line_->user = user_;
  bool wires = network_->over_wires > 0 && loop_.random().chance(network_->over_wires);
  client_ = std::make_unique<FaultyClient>(loop_, network_, line_, wires);
  part_ = make_(*client_);
  ctx_ = Context::root(loop_).child();
  ended_.reset();
  stopping_ = false;
  spawn(loop_, live(*ctx_));
}

Task<void> PartSlot::live(Context ctx) {
  co_await part_->run(ctx);
  ended_.set();
}

Task<void> PartSlot::stop() {
  doom();
  ctx_->cancel();
  Context forever = Context::root(loop_);
  (void)co_await ended_.wait(forever);
  part_.reset();
  client_.reset();
  line_->dead = true;
  // A process that dies has a kernel that closes its connections; a machine has none.
  if (loop_.random().chance(0.5)) line_->cut = false;
}

}  // namespace keles::sim
