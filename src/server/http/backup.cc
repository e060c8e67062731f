#include "server/http/backup.h"

#include "base/log.h"
#include "server/http/auditing.h"
#include "store/backup.h"
#include "store/sealing.h"

namespace keles::server {

Task<void> serve_backup(Context ctx, Exchange* x, const Store* store) {
  constexpr size_t kRoom = 256 * 1024;  // a piece, roughly
  if (x->request->method == "HEAD") {
    co_await x->answer_text(200, "", "application/octet-stream");
    co_return;
  }
  BackupWriter writer(store->contents(), sealer_of(*store));
  x->code = 200;
  co_await audit_started(ctx, x);
  x->leave_gate();
  net::Headers h = x->headers("application/octet-stream");
  Status s = co_await x->responder->begin(200, std::move(h));
  while (s.ok() && !writer.done()) {
    s = co_await x->responder->reserve(ctx, kRoom);
    if (!s.ok()) break;
    net::SharedBytes piece = std::make_shared<const std::string>(writer.next());
    if (!writer.failure().ok()) {
      log::error("Backup given up", {{"err", writer.failure()}});
      co_return;  // cut off: it is no whole one
    }
    Parts parts;
    parts.push_back(std::move(piece));
    s = co_await x->responder->write(std::move(parts));
    if (s.ok()) co_await yield_to(ctx.loop());
  }
  if (s.ok()) s = co_await x->responder->finish();
}

}  // namespace keles::server
