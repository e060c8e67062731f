#include "kubectl/watch.h"

#include "kubectl/errors.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxEvent = 64u << 20;

Status handle(std::string_view line, const WatchHandler& handler) {
  if (line.find_first_not_of(" \r") == line.npos) return Status();
  Result<Document> e = parse_json(line);
  if (!e.ok()) {
    return failure("unable to decode an event from the watch stream: " + e.status().message());
  }
  std::string_view type = e->root["type"].as_string();
  if (type == "BOOKMARK") return Status();
  if (type == "ERROR") return failure(std::string(e->root["object"]["message"].as_string()));
  return handler.event(type, e->root["object"]);
}

}  // namespace

Status follow_watch(Session& session, Call c, const WatchHandler& handler) {
  add_query(c.query, "watch", "true");
  Context ctx = session.context();
  TRY_ASSIGN(stream, session.open_stream(ctx, std::move(c)));
  std::string buffer;
  for (;;) {
    Result<std::string> piece = session.await(stream->read(ctx));
    if (!piece.ok() || piece->empty()) return Status();  // the server ended it in its good time
    buffer += *piece;
    if (buffer.size() > kMaxEvent) return failure("a watch event of more than 64 MiB");
    size_t end;
    while ((end = buffer.find('\n')) != buffer.npos) {
      TRY(handle(std::string_view(buffer).substr(0, end), handler));
      buffer.erase(0, end + 1);
    }
    handler.idle();
  }
}

}  // namespace keles::kubectl
