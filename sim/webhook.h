// The admission webhook of a simulated cluster: HTTP over wires, as a stranger's, that is slow,
// hangs, is away or answers with noise. What it says otherwise is always the same: `/mark` gives an
// object's data the member `marked`, `/judge` refuses what has one called `bad`, others allow.
#pragma once

#include <memory>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/http.h"
#include "sim/wire.h"

namespace keles::sim {

// Chances of each request, or of each connection (`away`).
struct WebhookFaults {
  double ill = 0, hang = 0, slow = 0, away = 0;
  Duration slow_max = 4s;
};

class Webhook {
 public:
  // `wires` outlives it.
  Webhook(Loop& loop, const WireOptions* wires);
  ~Webhook();
  Task<Result<net::TlsConnection>> dial(Context ctx);
  // Ends every connection; once, when no server is left.
  Task<void> stop();
  WebhookFaults faults;

 private:
  Task<void> serve(Context ctx, net::Request* q, net::Responder* r);

  Loop& loop_;
  const WireOptions* wires_;
  std::shared_ptr<Line> line_;
  std::unique_ptr<WireServer> server_;
};

}  // namespace keles::sim
