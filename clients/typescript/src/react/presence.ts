import type { Member } from "../client.js";
import { useStore } from "./context.js";
import { createStore } from "./store.js";

export interface Presence {
  members: readonly Member[];
  count: number;
}

/** Who is in a room. The client is in it too while a component shows it. `info` is shown to the others. */
export function usePresence(channel: `room:${string}`, info?: unknown): Presence {
  return useStore(`presence ${channel} ${JSON.stringify(info)}`, (client) =>
    createStore<Presence>({ members: [], count: 0 }, (set) => {
      let members: readonly Member[] = [];
      const show = (next: readonly Member[], count: number) => set({ members: (members = next), count });
      const read = () => void client.presence(channel).then((answer) => show(answer.members, answer.count), () => {});
      const end = client.subscribe(channel, { presence: true, info, snapshot: false }, ({ event, data }: any) => {
        if (event !== "member-joined" && event !== "member-left") return;
        // A storm of joins and leaves comes as one message; then the server has the list.
        if (!data.member) return read();
        const others = members.filter(({ sub }) => sub !== data.member.sub);
        show(event === "member-joined" ? [...others, data.member] : others, data.count);
      });
      // At the start and after each reconnect.
      const off = client.on("subscribed", (joined) => joined.channel === channel.toLowerCase() && read());
      return () => {
        off();
        end();
      };
    }),
  );
}
