#!/usr/bin/env node
//  A client of umbp with zeromq and cbor-x alone, written from doc/protocol.md and proto/umbp.cddl.
//
//      const pool = new Client ('tcp://127.0.0.1:7710')
//      await pool.put ({ 'prefix-17': Buffer.from ('bytes') })     // { 'prefix-17': true }
//      await pool.get (['prefix-17', 'other'])         // { 'prefix-17': Buffer, other: null }
//
//  A call is one message of at most 4096 keys and 64 KiB of blocks. There is no XXH3-64 here: the
//  node sums what is put, and what comes is trusted. One call at a time; it ends within its time,
//  and rejects with an error that has a status unless all outcomes are known.
'use strict'

const { randomBytes } = require ('node:crypto')
const { setTimeout: sleep } = require ('node:timers/promises')
const { Encoder } = require ('cbor-x')
const zmq = require ('zeromq')

const EPROTO = -1, ENOENT = -2, EAGAIN = -3, EEXIST = -6
const ETIMEDOUT = -8, EUNREACH = -9, ECHECKSUM = -12
const OK = 1, PUT = 30, GET = 32, EXISTS = 34, REMOVE = 36, KV_REPORT = 90, KV_MATCH = 94
const INLINE_MAX = 65536, NO_REF = 65535, ENDPOINT = 'tcp://127.0.0.1:7710'

//  Typed arrays of JavaScript are those of RFC 8746, both ways; Buffers are byte strings
const cbor = new Encoder ({ mapsAsObjects: false, useRecords: false, tagUint8Array: false })

const failure = (status, ...why) => Object.assign (new Error (why.join (' ')), { status })

function column (items) {
    const parts = items.map (item => Buffer.from (item))
    return [Buffer.concat (parts), Uint16Array.from (parts, part => part.length)]
}

function cut (data, sizes) {
    let at = 0
    return Array.from (sizes, size => data.subarray (at, at += size))
}

class Client {
    constructor (endpoint = ENDPOINT, timeout_ms = 5000) {
        this.timeout_ms = timeout_ms
        this.id = randomBytes (3).readUIntLE (0, 3)
        this.socket = new zmq.Dealer ({ linger: 0, sendTimeout: timeout_ms })
        this.socket.connect (endpoint)
    }

    //  One question. Returns status, fields and payload of the answer.
    async ask (actor, type, fields, payload = [], timeout_ms = this.timeout_ms) {
        const id = ++this.id, end = Date.now () + timeout_ms + 250     // A moment for the way
        const message = cbor.encode (new Map ([[0, type], [1, id], [2, timeout_ms], ...fields]))
        await this.socket.send ([actor, '', message, ...payload])
        for (let left = end - Date.now (); left > 0; left = end - Date.now ()) {
            this.socket.receiveTimeout = left
            const frames = await this.socket.receive ().catch (() => null)
            const answer = frames && cbor.decode (frames[2])
            if (answer?.get (1) === id) {                   // Else it is too late for its question
                const status = [OK, type + 1].includes (answer.get (0)) ? 0 : EPROTO
                return [answer.get (3) ?? status, answer, frames[3] ?? Buffer.alloc (0)]
            }
        }
        return [ETIMEDOUT, new Map ()]
    }

    //  { key: value }, true for a status of fine[0]. What may pass is tried until the time is over.
    async each (type, keys, fine, question, judge) {
        judge ??= answer => Array.from (answer.get (4), status => [status, status === fine[0]])
        const found = {}, end = Date.now () + this.timeout_ms
        for (let todo = keys, pause = 10; todo.length > 0 && Date.now () < end; pause *= 2) {
            const left = Math.max (1, end - Date.now ())
            const [status, answer, data] = await this.ask ('router', type, ...question (todo), left)
            const said = status ? todo.map (() => [status, answer.get (4)]) : judge (answer, data)
            todo.forEach ((key, index) => { found[key] = said[index] })
            todo = todo.filter (key => [EAGAIN, EUNREACH].includes (found[key][0]))
            await sleep (todo.length > 0 ? pause : 0)
        }
        for (const key in found) {
            if (!fine.includes (found[key][0]))
                throw failure (found[key][0], key, found[key][1])
            found[key] = found[key][1]
        }
        return found
    }

    put (blocks) {
        return this.each (PUT, Object.keys (blocks), [0, EEXIST], keys => [
            [[5, column (keys)], [6, Uint32Array.from (keys, key => blocks[key].length)]],
            [Buffer.concat (keys.map (key => blocks[key]))]])
    }

    get (keys) {
        const question = keys => [[[5, column (keys)], [6, INLINE_MAX]], []]
        return this.each (GET, keys, [0, ENOENT], question, (answer, data) => {
            const [statuses, refs, sizes] = [4, 5, 6].map (field => answer.get (field))
            const blocks = cut (data, sizes.map ((size, row) => refs[row] === NO_REF ? size : 0))
            return blocks.map ((block, row) => statuses[row] ? [statuses[row], null]
                : block.length === sizes[row] ? [0, block] : [ECHECKSUM, null])
        })
    }

    exists (keys) { return this.each (EXISTS, keys, [1, 0], now => [[[4, column (now)]], []]) }
    remove (keys) { return this.each (REMOVE, keys, [0, ENOENT], now => [[[4, column (now)]], []]) }

    async report (engine, tier, hashes) {
        const fields = [[4, engine], [6, tier], [7, column (hashes)]]
        const [status] = await this.ask ('extkv', KV_REPORT, fields)
        if (status)
            throw failure (status, engine)
    }

    //  [[engine, tier, hashes]], and how many nodes were silent
    async match (hashes) {
        const [status, answer] = await this.ask ('extkv', KV_MATCH, [[4, column (hashes)]])
        if (status)
            throw failure (status, answer.get (4))
        const engines = cut (...answer.get (4)).map (String)
        const [refs, tiers, counts, matches] = [6, 7, 8, 9].map (field => answer.get (field))
        return [cut (matches, counts).map ((held, row) => [
            engines[refs[row]], tiers[row], Array.from (held, number => hashes[number])]),
        answer.get (11)]
    }
}

async function main (pool, command, ...words) {
    if (command === 'put' && words.length === 2) {
        const found = await pool.put ({ [words[0]]: Buffer.from (words[1]) })
        console.log (found[words[0]] ? 'stored' : 'was there')
    } else if (command === 'get' && words.length === 1) {
        const found = await pool.get (words)
        process.stdout.write (found[words[0]] ?? '')
        return found[words[0]] ? 0 : 1
    } else if (['exists', 'remove'].includes (command) && words.length > 0) {
        const found = await pool[command] (words)
        words.forEach (key => console.log (key, found[key] ? 'yes' : 'no'))
        return words.every (key => found[key]) ? 0 : 1
    } else if (command === 'report' && words.length > 2)
        await pool.report (words[0], Number (words[1]), words.slice (2))
    else if (command === 'match' && words.length > 0)
        for (const [engine, tier, held] of (await pool.match (words))[0])
            console.log (`${engine} tier ${tier}: ${held.join (' ')}`)
    else
        throw failure ('', 'put KEY TEXT | get KEY | (exists|remove|match|report ID TIER) KEY...')
}

module.exports = { Client }
if (require.main === module) {
    const pool = new Client ((process.env.UMBP_ENDPOINTS ?? ENDPOINT).split (',')[0])
    main (pool, ...process.argv.slice (2))
        .catch (error => { console.error ('umbp error:', error.status, error.message); return 2 })
        .then (status => { process.exitCode = status; pool.socket.close () })
}
