// Exchange: one HTTP request on its way through the front: what it asks, who asks, how the answer
// is to look; and the ways to answer it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "machinery/object.h"
#include "net/http.h"
#include "server/aggregation/api_service.h"
#include "server/audit/auditor.h"
#include "server/auth/caller.h"
#include "server/auth/outside.h"
#include "server/flow/flow_control.h"
#include "server/http/encode.h"
#include "server/http/negotiate.h"
#include "server/http/request_info.h"
#include "server/turns/turns.h"

namespace keles::server {

class ListPieces;

struct Exchange {
  // `began`: what is remembered of others' answers is as old as that at most.
  explicit Exchange(TimePoint began) : questions(began) {}
  net::Request* request = nullptr;
  net::Responder* responder = nullptr;
  Query query;
  RequestInfo info;
  CallerPtr who;  // null until it is known
  // Who asked, where that was as somebody else; and the verb that allowed it, where that was
  // narrower than "impersonate".
  CallerPtr impersonator;
  std::string impersonation_constraint;
  std::optional<Decision> decision;  // of authorization, once it was asked
  auth::Questions questions;         // what others are asked on the request's way
  Rendering rendering;
  Status not_acceptable;  // an error: the client takes no form that there is
  std::vector<std::string> warnings;
  const KindDesc* kind = nullptr;
  KindRef held;                          // `kind`, which a change of the catalog may otherwise end
  aggregation::ApiServicePtr elsewhere;  // who serves it in this server's place; null: it does
  int code = 0;                          // of the answer, once there is one
  // Auditing's (auditing.h): the request's name, "" when nobody is told one; what is recorded of
  // it, null when nothing is, and by whom; whether it lasts, and its answer was told of.
  std::string audit_id;
  std::unique_ptr<audit::Event> audit;
  const audit::Auditor* auditor = nullptr;
  bool lasting = false, audit_begun = false;
  // The in-flight gate's count that this request is part of, until its answer begins: a slow reader
  // takes nobody's place.
  std::atomic<int>* slot = nullptr;
  // Likewise its seats, where priority and fairness decides in the gate's place (null: it does
  // not).
  flow::FlowControl* flow = nullptr;
  Loop* loop = nullptr;  // the request's
  TimePoint began;
  Duration waited{};  // for its seats
  size_t sent = 0;    // bytes of its answer
  flow::Passage passage;
  Turn turn;  // on its loop, by its level

  const Caller& caller() const;
  std::string_view header(std::string_view name) const;  // "" when there is none
  net::Headers headers(std::string_view content_type) const;

  // BadRequest for a table with an includeObject that there is not; NotAcceptable for a list as
  // PartialObjectMetadata, or an object as its list.
  Status check_table() const;
  Status check_shape(const KindDesc& of, bool list) const;

  // A write by who asks, with what the query says of every kind of write.
  void write_request(registry::WriteRequest* out);

  // Reads the request's body; false once a failure to do so has been answered.
  Task<bool> receive(Context ctx);
  void leave_gate();
  // Says by which schema and level it was sorted: without these fields clients hold themselves
  // back.
  void say_flow(net::Headers& headers) const;

  // A whole answer, compressed when it is large and the client takes gzip.
  static constexpr size_t kGzipBytes = 128 * 1024;  // upstream's threshold
  void compress(net::Headers& headers, Parts& parts, size_t threshold = kGzipBytes) const;

  // Each answers the request, once.
  Task<void> answer(int status, Parts parts);
  Task<void> answer_object(Context ctx, int status, ObjectPtr object);
  // Piece by piece, as the peer takes them. Cut off when ctx ends.
  Task<void> answer_list(Context ctx, registry::ListPage page);
  Task<void> answer_text(int status, std::string text,
                         std::string content_type = "text/plain; charset=utf-8");
  Task<void> fail(Status why);
  Task<void> turn_away(int64_t retry_after = 1);  // 429: try again in so many seconds
  Task<Status> next_piece(Context ctx, ListPieces* pieces, Parts* out);
  // A Status of success with these details.
  Task<void> succeed(int status, StatusDetails details);
};

}  // namespace keles::server
