import { Option } from 'commander'
import { collectionStates, type CollectionState } from '../core/collection.ts'
import type { CollectionSummary } from '../core/handle.ts'
import { formatAge } from './age.ts'
import { type AddCommand, optionsOf } from './context.ts'
import { addListOptions, type ListOptions, listQuery, noteMore } from './list-options.ts'
import { printJson } from './print.ts'
import { formatCount, glyphOf, styleOf } from './state.ts'
import { withStore } from './store.ts'
import { type Column, drawTable } from './table.ts'
import type { View } from './view.ts'

export const addCollections: AddCommand = (program, context) => {
  const command = program
    .command('collections')
    .description('list collections, newest first')
    .addOption(new Option('--state <state>', 'in this state').choices(collectionStates))
  addListOptions(command).action(async (_own, self) => {
    const { terminal } = context
    const options = optionsOf<ListOptions & { readonly state?: CollectionState }>(self)
    await withStore(context, options, async (app) => {
      const page = await app.collections.list({ state: options.state, ...listQuery(options) })
      if (options.json) return printJson(terminal, page)
      if (page.items.length === 0) return terminal.note('No collections.')
      terminal.print(...drawTable(columnsOf(terminal.view), page.items, terminal.view))
      noteMore(terminal, 'collections', page.next)
    })
  })
}

function columnsOf(view: View): Column<CollectionSummary>[] {
  return [
    { title: 'id', value: ({ id }) => id },
    {
      title: 'state',
      value: ({ state }) => `${glyphOf(state, view)} ${state}`,
      style: ({ state }) => styleOf(state),
    },
    { title: 'done', value: describeProgress, align: 'right' },
    { title: 'round', value: ({ round }) => String(round), align: 'right', expendable: 2 },
    { title: 'by', value: ({ actor }) => actor?.id ?? '', least: 8, expendable: 1 },
    { title: 'sent', value: ({ createdAt }) => formatAge(view.now - createdAt.getTime()), align: 'right' },
    { title: 'about', value: ({ description }) => description ?? '', least: 16 },
  ]
}

const describeProgress = ({ progress: { done, total } }: CollectionSummary): string =>
  `${formatCount(done)}/${formatCount(total)}`
