// Internal to net/: how the acceptor hands a connection to the protocol that serves it.
#pragma once

#include <string>

#include "net/budget.h"
#include "net/http.h"
#include "net/transport.h"

namespace keles::net {

// `options` and `handler` outlive the connection. `ctx` ends when the server stops.
struct ServedConnection {
  TransportPtr transport;
  TlsInfo info;
  std::string remote;
  Context ctx;
  const ServerOptions* options;
  const Handler* handler;
  std::shared_ptr<ByteBudget> budget;
  std::shared_ptr<const void> memo = nullptr;  // the handler's (Request::connection_memo)
};

// Both return once the connection is over and every handler has ended.
Task<void> serve_http1(ServedConnection connection);
Task<void> serve_http2(ServedConnection connection);

// One timer per connection, moved only when a deadline comes nearer. Closes the transport.
class Watchdog {
 public:
  Watchdog(Loop& loop, Transport* t) : loop_(loop), transport_(t) {}
  ~Watchdog() { loop_.cancel(timer_); }
  void off() { deadline_ = TimePoint::max(); }
  void within(Duration d) { set(loop_.now() + d); }

 private:
  void set(TimePoint when) {
    deadline_ = when;
    if (timer_ != 0 && when >= scheduled_) return;
    loop_.cancel(timer_);
    arm();
  }
  void arm() {
    scheduled_ = deadline_;
    timer_ = loop_.schedule(scheduled_, [this] {
      timer_ = 0;
      if (deadline_ == TimePoint::max()) return;
      if (deadline_ <= loop_.now()) {
        transport_->close(Status::timeout("connection timed out"));
      } else {
        arm();
      }
    });
  }
  Loop& loop_;
  Transport* transport_;
  TimePoint deadline_ = TimePoint::max(), scheduled_ = TimePoint::max();
  TimerId timer_ = 0;
};

// "Date" of now, renewed once a second. The loop's thread only; valid until the next call.
std::string_view http_date(Loop& loop);

}  // namespace keles::net
