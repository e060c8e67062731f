// Part: a component of a world, and PartSlot: its lives, one after another.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/sync.h"
#include "sim/network.h"

namespace keles::sim {

// A component: made with a client, runs until its context ends.
class Part {
 public:
  virtual ~Part() = default;
  virtual Task<void> run(Context ctx) = 0;
};

// Each life has its own line, client and context; a dying one is cut off before it is told, so that
// it can do nothing more. What it sent before may yet arrive (Line::dead).
class PartSlot {
 public:
  using Make = std::function<std::unique_ptr<Part>(Client& client)>;
  PartSlot(Loop& loop, Network* network, std::string name, Caller user, Make make);
  const std::string& name() const { return name_; }
  bool alive() const { return part_ != nullptr; }
  void start();
  Task<void> stop();
  Line* line() { return line_.get(); }
  const std::shared_ptr<Line>& shared_line() const { return line_; }
  bool stopping() const { return stopping_; }
  // From now on it can do nothing more; stop() follows.
  void doom() {
    stopping_ = true;
    line_->cut = true;
  }
  Part* part() { return part_.get(); }

 private:
  Task<void> live(Context ctx);
  Loop& loop_;
  Network* network_;
  std::string name_;
  Caller user_;
  Make make_;
  std::shared_ptr<Line> line_;
  std::unique_ptr<FaultyClient> client_;
  std::unique_ptr<Part> part_;
  std::optional<Context> ctx_;
  bool stopping_ = false;
  Event ended_;
};

}  // namespace keles::sim
