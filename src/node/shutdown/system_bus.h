// A connection to the system's bus, for one caller: calls go one after the other, and the signals
// that come meanwhile wait to be taken. No library: what we need is a few messages
// (bus_message.h), and libsystemd would be loaded by every keles on every machine for them.
//
// One loop. Every wait takes a Context; a connection that failed stays failed.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "base/beneath.h"
#include "base/context.h"
#include "base/task.h"
#include "net/transport.h"
#include "node/shutdown/bus_message.h"

namespace keles::node {

class SystemBus {
 public:
  // `socket`: a path. kUnavailable when nobody listens there.
  static Task<Result<std::unique_ptr<SystemBus>>> connect(Context ctx, std::string socket);
  // Where the system's bus listens: what DBUS_SYSTEM_BUS_ADDRESS says, or the usual place.
  static std::string usual_socket();
  ~SystemBus() { close(); }

  struct Answer {
    BusMessage message;
    keles::Fd descriptor;  // the first that came with it
  };
  // An error that is answered is a Status that names it.
  Task<Result<Answer>> call(Context ctx, BusMessage message);
  Task<Result<BusMessage>> next_signal(Context ctx);
  void close() { fd_->close(Status::unavailable("the connection to the bus is closed")); }

 private:
  explicit SystemBus(std::shared_ptr<net::Fd> fd) : fd_(std::move(fd)) {}
  Task<Status> write(Context ctx, std::string bytes);
  Task<Status> read_more(Context ctx);
  Task<Result<std::string>> read_line(Context ctx);
  Task<Status> authenticate(Context ctx);
  Task<Result<Answer>> read_message(Context ctx);

  static constexpr size_t kMostSignals = 64, kMostDescriptors = 4;
  std::shared_ptr<net::Fd> fd_;
  std::string in_;
  std::deque<keles::Fd> descriptors_;  // that came, and whose message has not been read
  std::deque<BusMessage> signals_;
  uint32_t serial_ = 0;
};

}  // namespace keles::node
